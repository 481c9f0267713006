"""What several tests of the lab begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.text import language
from models.detector import save
from tests.lab.scoring_rig import Rig
from tests.models.plants import fitted


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    save(fitted("precursor"), tmp_path / "models" / "pump.model")
    rig = Rig(tmp_path)
    yield rig
    rig.crash()


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Texts are English in this test, and what the environment says after it."""
    monkeypatch.setenv("LAB_LANG", "en")
    language.cache_clear()
    yield
    language.cache_clear()
