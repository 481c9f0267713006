"""The command line itself."""

import os
import subprocess
import sys

import pytest


def shown(lang: str, *args: str) -> str:
    narrow = {**os.environ, "LAB_LANG": lang, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    command = [sys.executable, "-m", "lab", *args]
    return subprocess.run(command, env=narrow, check=False, capture_output=True, encoding="utf-8").stdout


@pytest.mark.parametrize("args", [("fit", "--help"), ("replay", "--help"), ("corrosion", "assess", "--help"), ()])
def test_help_in_japanese_is_whole_on_a_narrow_terminal(args: tuple[str, ...]) -> None:
    told = shown("ja", *args)
    assert "です" in told
    assert "…" not in told


def test_what_looks_like_markup_is_shown() -> None:
    assert "mqtt://[user:password@]host[:port]" in "".join(shown("en", "replay", "--help").replace("│", "").split())
