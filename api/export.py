"""Readings as a file: of one asset, in a stretch of time, written piece by piece as they are read."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from api.context import BODILESS, Context, api_router, context
from api.problems import Problem
from api.reader import Reader
from api.routes import From, Id, To
from api.schema import documented
from api.times import NS, Span, parse_span
from lab.historian.transfer import COLUMNS, Windows, csv_lines, read_rows
from lab.historian.wide import Wide, csv_head, csv_rows, wide_keys, wide_rows
from lab.longtable import MADE

router = api_router("lab")

USUAL: Final = "-24h"
"""Without a beginning the last day."""


class Export:
    """A file in the making; its pieces are read by whichever reader is free."""

    def __init__(self, reader: Reader, id: str, span: Span, wide: bool) -> None:
        """
        Raises:
            Problem: there is no such asset.
        """
        if reader.db.execute("SELECT 1 FROM asset WHERE id = ?", (id,)).fetchone() is None:
            raise Problem("not-found", "api.no_asset", id=id)
        known = list(reader.historian.keys())
        if wide:
            self.keys = wide_keys(reader.db, known, id)
        else:
            self.keys = [key for key in known if key.startswith(f"{id}/") and not key.startswith(f"{id}/{MADE}")]
        self.wide = wide
        self._tables: Iterator[Wide] = iter(())
        self.windows = Windows(reader.historian, span.start, span.end)

    def head(self) -> bytes:
        """The file's first line."""
        return csv_head(self.keys) if self.wide else (",".join(COLUMNS) + "\n").encode()

    def next(self, reader: Reader) -> bytes | None:
        """The next lines, none where nothing was measured; None at the end."""
        if (table := next(self._tables, None)) is not None:
            return csv_rows(table)
        window = self.windows.next()
        if window is None:
            return None
        if self.wide:
            self._tables, readings = wide_rows(reader.historian, self.keys, *window)
            self.windows.took(readings)
            return b""
        rows = read_rows(reader.historian, self.keys, *window)
        self.windows.took(len(rows.t))
        return csv_lines(rows).encode()


async def _lines(lab: Context, export: Export, first: bytes | None) -> AsyncIterator[bytes]:
    yield export.head()
    lines = first
    while lines is not None:
        if lines:
            yield lines
        lines = await lab.readers.run(export.next)


def file_name(id: str, span: Span, wide: bool) -> str:
    """What a browser calls the file."""
    first, last = (f"{datetime.fromtimestamp(max(t, 0) // NS, UTC):%Y%m%dT%H%M%SZ}" for t in span)
    return f"{id}_{first}_{last}{'' if wide else '_readings'}.csv"


@router.get(
    "/assets/{id}/readings.csv",
    summary="api.op.export",
    response_class=StreamingResponse,
    responses=documented(
        "time,plant_s,xmeas_1,xmeas_2\n2026-01-01T00:00:00.100000Z,60.0,0.25052,3664.0\n",
        *("not-found", "invalid", "not-started", "historian"),
        media_type="text/csv",
    ),
)
async def get_export(
    request: Request,
    id: Id,
    start: From = None,
    to: To = None,
    layout: Annotated[Literal["wide", "long"], Query(description="api.param.layout", examples=["wide"])] = "wide",
) -> Response:
    lab = context(request)
    span, wide = parse_span(start, to, USUAL), layout == "wide"
    export = await lab.readers.run(partial(Export, id=id, span=span, wide=wide))
    first = await lab.readers.run(export.next)  # what fails at once is told as a problem, not by a torn file
    first = None if request.scope.get(BODILESS) else first  # nor is the rest read
    return StreamingResponse(
        _lines(lab, export, first),
        media_type="text/csv",
        headers={"content-disposition": f'attachment; filename="{file_name(id, span, wide)}"'},
    )
