"""The README's commands are run, word for word, in the order of the page."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT

READMES = ("README.md", "README.ja.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+?)(?:#[^)]*)?\)")


def commands(readme: str, language: str = "sh") -> list[str]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return [line for name, body in BLOCK.findall(text) if name == language for line in body.splitlines() if line]


def test_both_languages_have_the_same_commands() -> None:
    for language in ("sh", "powershell"):
        assert commands(READMES[0], language) == commands(READMES[1], language)


@pytest.mark.parametrize(
    "page", [*READMES, "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    file = ROOT / page
    dead = [link for link in LINK.findall(file.read_text(encoding="utf-8")) if not (file.parent / link).exists()]
    assert not dead


def test_windows_lines_name_files_that_exist() -> None:
    names = [w for line in commands("README.md", "powershell") for w in line.split() if w.startswith("requirements")]
    assert names
    assert all((ROOT / name.replace("\\", "/")).is_file() for name in names)


def test_make_targets_exist() -> None:
    for line in [*commands("README.md"), *commands("CONTRIBUTING.md")]:
        if line.startswith("make "):
            subprocess.run(
                ["make", "-n", *shlex.split(line.partition("#")[0])[1:]], cwd=ROOT, check=True, capture_output=True
            )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_commands_run(tmp_path: Path, free_port: int) -> None:
    """`make lab` is run as what it starts; the rest as written, beside that running lab."""
    python = Path(sys.executable)
    data = tmp_path / "lab-data"
    environment = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "LAB_DATA_DIR": str(data),
        "LAB_LANG": "en",
    }
    up = [str(python), "-m", "lab", "up", "--api-port", str(free_port)]
    assert "make lab" in commands("README.md")
    with (tmp_path / "up.log").open("wb") as log:
        lab = subprocess.Popen(up, env=environment, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for_page(free_port, lab)
            for line in commands("README.md"):
                if line.startswith("make "):
                    continue
                done = subprocess.run(
                    shlex.split(line), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        finally:
            lab.send_signal(signal.SIGINT)
            assert lab.wait(60) == 0
    scores = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert len(scores) == len((tmp_path / "run.csv").read_text(encoding="utf-8").splitlines())


def _wait_for_page(port: int, lab: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):
        assert lab.poll() is None, "the lab ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                assert b"<html" in answer.read()
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError("no page")
