"""The pages without a browser: their texts and files, and that the fake lab they are tried on speaks the real API."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

from api import schema
from lab.collector import PATIENCE_S
from lab.config import HistorianConfig
from lab.text import catalogue
from tests.api.fake_server import PAGES, serving

SCRIPTS = sorted(PAGES.rglob("*.js"))
SHEETS = sorted(PAGES.rglob("*.css"))
MAX_LINES = 400
KEY = re.compile(r"""['"`](page\.[a-z0-9_.]+)['"`]""")


def name(file: Path) -> str:
    return str(file.relative_to(PAGES))


def test_every_text_used_is_there_and_every_text_is_used() -> None:
    used = {key for file in SCRIPTS for key in KEY.findall(file.read_text(encoding="utf-8"))}
    have = {key for key in catalogue() if key.startswith("page.")}
    assert used == have
    assert len(used) > 100


def test_no_text_key_is_put_together() -> None:
    """A key made from parts would escape the test above."""
    made = [
        (name(file), hit) for file in SCRIPTS for hit in re.findall(r"`page\.[^`]*\$\{[^`]*`", file.read_text("utf-8"))
    ]
    assert not made


@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_modules_are_short_and_import_what_is_there(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.count("\n") < MAX_LINES
    for target in re.findall(r"""(?:from|import\()\s*['"]([^'"]+)['"]""", source):
        assert target.startswith("."), f"{target} is not one of our own files"
        imported = (file.parent / target).resolve()
        assert imported.is_file(), target
        wanted = re.search(rf"import {{([^}}]*)}} from '{re.escape(target)}'", source)
        for symbol in wanted.group(1).split(",") if wanted else []:
            assert re.search(
                rf"export (async )?(function|class|const|let) {symbol.strip()}\b", imported.read_text("utf-8")
            )


@pytest.mark.parametrize("file", [*SCRIPTS, *SHEETS, PAGES / "index.html"], ids=name)
def test_nothing_comes_from_elsewhere_and_nothing_is_parsed_as_html(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9][a-z0-9.-]+\.[a-z]{2,}", source))
    assert addresses <= {"http://www.w3.org"}, "only the SVG namespace is an address"
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert forbidden not in source


class Document(HTMLParser):
    """Files index.html asks for, and what the content security policy would stop."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []
        self.inline: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.inline += [f"{tag} {key}" for key in values if key == "style" or key.startswith("on")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in values) else []
        source = values.get("src") or (values.get("href") if tag == "link" else None)
        self.files += [source] if source else []


def test_what_a_frame_told_is_read_after_the_commit() -> None:
    """With the live frame's own delay, and what a commit may wait for the historian's upkeep."""
    wait = re.search(r"const COMMITTED_MS = (\d+);", (PAGES / "main.js").read_text(encoding="utf-8"))
    assert wait is not None
    assert int(wait[1]) >= 1000 * (HistorianConfig().commit_s + PATIENCE_S)


def test_index_asks_for_files_that_exist_and_has_nothing_inline() -> None:
    document = Document()
    document.feed((PAGES / "index.html").read_text(encoding="utf-8"))
    assert document.inline == []
    assert "pages/main.js" in document.files
    for file in document.files:
        assert (PAGES / file.removeprefix("pages/")).is_file(), file


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving() as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("assets", schema.Assets),
        ("assets/tep-1", schema.AssetDetail),
        ("assets/line-2", schema.AssetDetail),
        ("assets/tep-1/sensors", schema.Sensors),
        ("assets/line-2/score?from=-5m&points=50", schema.Score),
        ("series?sensors=tep-1/xmeas_1,line-2/vibration_de&from=-5m&points=50", schema.SeriesAnswer),
        ("episodes", schema.Episodes),
        ("simulators", schema.Simulators),
        ("simulators/tep-1", schema.Simulator),
        ("ledger", schema.LedgerAnswer),
        ("quarantine", schema.QuarantineAnswer),
        ("system", schema.SystemAnswer),
    ],
)
def test_the_fake_lab_answers_as_the_real_api_does(client: httpx.Client, path: str, model: type[BaseModel]) -> None:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 200
    model.model_validate(response.json())
