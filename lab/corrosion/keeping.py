"""The lab's own record of a plant's piping: `{data}/corrosion.db`, SQLite, one table for each of the model's.

What may be asked is small and what is written is rare, so the API and the command line both write, each in one
transaction. Codes are kept as their words and days as ISO dates, so that any SQLite tool shows what a person can read.
"""

import dataclasses
import math
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
import numpy as np

from lab.corrosion.register import (
    UNMEASURED,
    Gap,
    KeptOut,
    Record,
    Refused,
    Register,
    check_finding,
    identity,
    make_inspections,
    make_lines,
    make_points,
)
from lab.text import text
from models.corrosion import tables
from models.corrosion.tables import Inspections, Lines, Points, Weather

SCHEMA: Final = 1
YES_NO: Final = ("no", "yes")
CODES: Final[dict[str, tuple[str, ...]]] = {
    "insulation": tables.INSULATION,
    "coating": tables.COATING,
    "material": tables.MATERIAL,
    "driver": tables.DRIVER,
    "part": tables.PART,
    "complexity": tables.COMPLEXITY,
    "condition": tables.CONDITION,
    "jacket_damage": ("none", "some", "heavy"),
    "method": tables.METHOD,
    "effectiveness": tables.EFFECTIVENESS,
    **dict.fromkeys(("heat_traced", "sheltered", "on_beam", "interface", "stripped"), YES_NO),
}
"""The words of each column of codes."""
_TABLES: Final = {"line": Lines, "point": Points, "inspection": Inspections, "weather": Weather}


class KeepingError(Exception):
    """The corrosion database cannot be used; the text says why."""


def records(table: Lines | Points | Inspections) -> list[Record]:
    """A table as records; what is unknown is missing."""
    columns = [field.name for field in dataclasses.fields(table)]
    found: list[Record] = []
    first = getattr(table, columns[0])
    for row in range(len(first)):
        record: Record = {}
        for name in columns:
            value = getattr(table, name)[row]
            if isinstance(value, np.datetime64):
                if not np.isnat(value):
                    record[name] = date.fromisoformat(str(value)[:10])
            elif isinstance(value, np.floating):
                if not math.isnan(value):
                    record[name] = float(value)
            elif isinstance(value, np.int8):
                if value >= 0:
                    record[name] = int(value)
            else:
                record[name] = int(value) if isinstance(value, np.integer) else value
        found.append(record)
    return found


class Keeping:
    """The database of a data directory, made when it is not there."""

    def __init__(self, data: Path) -> None:
        """Open it.

        Raises:
            KeepingError: it cannot be opened or made, or a newer version of the lab made it.
        """
        self.path = data / "corrosion.db"
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=20, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise KeepingError(text("corrosion.keep.newer", path=self.path, version=version, known=SCHEMA))
            if version < SCHEMA:
                self._create()
        except (OSError, sqlite3.Error) as error:
            raise KeepingError(text("corrosion.keep.unusable", path=self.path, reason=error)) from error

    def __enter__(self) -> "Keeping":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _create(self) -> None:
        statements = ["CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"]
        for name, table in _TABLES.items():
            columns = []
            for field in dataclasses.fields(table):
                kind = (
                    "TEXT"
                    if field.name in {"id", "plant", "service"} or field.type in (tables.Codes, tables.Times)
                    else "REAL"
                )
                rest = " PRIMARY KEY" if field.name == "id" else ""
                if field.name == "line":
                    kind, rest = "TEXT", " NOT NULL REFERENCES line(id) ON DELETE CASCADE"
                elif field.name == "point":
                    kind, rest = "TEXT", " NOT NULL REFERENCES point(id) ON DELETE CASCADE"
                columns.append(f"{field.name} {kind}{rest}")
            if name == "point":
                columns += ["place TEXT NOT NULL", "unmeasured INTEGER NOT NULL"]
            statements.append(f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)})")
        statements += [
            "CREATE INDEX IF NOT EXISTS inspection_point ON inspection(point, at)",
            "CREATE TABLE IF NOT EXISTS note (kind TEXT NOT NULL, body TEXT NOT NULL)",
            f"PRAGMA user_version={SCHEMA}",
        ]
        for statement in statements:
            self._db.execute(statement)

    def meta(self) -> dict[str, str]:
        """`revision` (grows with every change), `source` (simulated or imported), `seed`, `changed` (ISO 8601)."""
        return dict(self._db.execute("SELECT key, value FROM meta").fetchall())

    @property
    def revision(self) -> int:
        """Grows with every change; 0 is empty."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
        return int(row[0]) if row else 0

    def replace(self, register: Register, source: str, seed: int | None = None) -> None:
        """Keep a register instead of what was kept.

        Raises:
            KeepingError: the disk is full or the file is in use.
        """
        points = records(register.points)
        names = register.lines.id
        places: dict[str, str] = {}
        for point, unmeasured in zip(points, register.unmeasured.tolist(), strict=True):
            line = names[point["line"]]
            places[point["id"]] = UNMEASURED if unmeasured else point["id"].removeprefix(f"{line}:")
            point |= {"line": line, "place": places[point["id"]], "unmeasured": int(unmeasured)}
        findings = [
            {**finding, "point": register.points.id[finding["point"]]} for finding in records(register.inspections)
        ]
        notes = [("kept_out", msgspec.json.encode(each).decode()) for each in register.kept_out]
        notes += [("gap", msgspec.json.encode(each).decode()) for each in register.gaps]
        weather = {key: value for key, value in dataclasses.asdict(register.weather).items() if not math.isnan(value)}
        with self._transaction():
            for table in ("inspection", "point", "line", "weather", "note"):
                self._db.execute(f"DELETE FROM {table}")
            self._insert("line", records(register.lines))
            self._insert("point", points)
            self._insert("inspection", findings)
            self._insert("weather", [weather])
            self._db.executemany("INSERT INTO note VALUES (?, ?)", notes)
            self._touch(source=source, seed="" if seed is None else str(seed))

    def add(self, findings: Sequence[tuple[int, Record]], at: date, file: str) -> tuple[int, list[KeptOut]]:
        """Enter findings, each with its row's number; how many were entered, and which were kept out.

        A finding names its `point`, or its `line` and a place on it, which becomes a point when it is new. Otherwise as
        `lab.corrosion.register.read_findings` reads them.

        Raises:
            KeepingError: as `replace`.
        """
        out: list[KeptOut] = []
        rows: list[Record] = []
        with self._transaction():
            lines = {record["id"]: record for record in self._select("line")}
            points = {point["id"]: point for point in self._select("point")}
            places = {(point["line"], point["place"]): id for id, point in points.items()}
            seen = {(each["point"], *identity(each)) for each in self._select("inspection")}
            for number, given in findings:
                said = str(given.get("point", ""))
                line = str(given.get("line", points[said]["line"] if said in points else ""))
                if said == f"{line}:{UNMEASURED}":
                    said = ""  # the stand-in of a line is no place on it
                id = said if said in points and points[said]["line"] == line else places.get((line, said), "")
                try:
                    if line not in lines:
                        raise Refused("line" if "line" in given else "point", "line")
                    finding = check_finding(given, lines[line], at)
                    if not id:
                        id = (
                            said if said.startswith(line) and said not in points else f"{line}:{said}" if said else line
                        )
                        if id not in points:
                            self._insert("point", [{"id": id, "line": line, "place": said, "unmeasured": 0}])
                            self._db.execute("DELETE FROM point WHERE line = ? AND unmeasured = 1", (line,))
                            points[id] = {"id": id, "line": line, "place": said}
                        places[line, said] = id
                    elif points[id].get("unmeasured"):
                        self._db.execute("UPDATE point SET unmeasured = 0 WHERE id = ?", (id,))
                    if (id, *identity(finding)) in seen:
                        raise Refused("reading", "duplicate")
                except Refused as refused:
                    cell = given.get(refused.key, "")
                    out.append(
                        KeptOut(file, number, refused.key, str(cell), refused.code, refused.values, "inspections")
                    )
                    continue
                seen.add((id, *identity(finding)))
                rows.append({**finding, "point": id})
            self._insert("inspection", rows)
            if rows:
                self._touch()
        return len(rows), out

    def register(self) -> Register:
        """Everything that is kept."""
        lines, points, findings = self._select("line"), self._select("point"), self._select("inspection")
        names = {line["id"]: k for k, line in enumerate(lines)}
        index = {point["id"]: k for k, point in enumerate(points)}
        weather = (self._select("weather") or [{}])[0]
        notes = self._db.execute("SELECT kind, body FROM note").fetchall()
        return Register(
            make_lines(lines),
            make_points(points, [point["id"] for point in points], names),
            make_inspections(
                [{**each, "line": "", "place": each["point"]} for each in findings],
                {("", id): k for id, k in index.items()},
            ),
            Weather(**{field.name: weather.get(field.name, math.nan) for field in dataclasses.fields(Weather)}),
            np.array([bool(point["unmeasured"]) for point in points], dtype=np.bool_),
            [msgspec.json.decode(body, type=KeptOut) for kind, body in notes if kind == "kept_out"],
            [msgspec.json.decode(body, type=Gap) for kind, body in notes if kind == "gap"],
        )

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db, self.path)

    def _touch(self, **values: str) -> None:
        changed = datetime.now(UTC).isoformat(timespec="seconds")
        for key, value in {"revision": str(self.revision + 1), "changed": changed, **values}.items():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _insert(self, table: str, rows: Iterable[Record]) -> None:
        columns = [row[1] for row in self._db.execute(f"PRAGMA table_info({table})")]
        marks = ", ".join("?" * len(columns))
        self._db.executemany(
            f"INSERT INTO {table} VALUES ({marks})", [[_out(name, row.get(name)) for name in columns] for row in rows]
        )

    def _select(self, table: str) -> list[Record]:
        cursor = self._db.execute(f"SELECT * FROM {table} ORDER BY rowid")
        names = [column[0] for column in cursor.description]
        return [
            {name: _in(name, value) for name, value in zip(names, row, strict=True) if value is not None}
            for row in cursor.fetchall()
        ]


def _out(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if name in CODES:
        return CODES[name][value]
    return value.isoformat() if isinstance(value, date) else value


def _in(name: str, value: Any) -> Any:
    if name in CODES:
        return CODES[name].index(value)
    return date.fromisoformat(value) if name in {"installed", "coated_on", "at"} else value


class _Transaction:
    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise KeepingError(text("corrosion.keep.unusable", path=self._path, reason=error)) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._db.execute("ROLLBACK" if kind else "COMMIT")
        except sqlite3.Error as failure:
            raise KeepingError(text("corrosion.keep.unusable", path=self._path, reason=failure)) from failure
        if isinstance(error, sqlite3.Error):
            raise KeepingError(text("corrosion.keep.unusable", path=self._path, reason=error)) from error
