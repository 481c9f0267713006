"""What several rooms' tests share."""

import os
import random
import shutil
import socket
from pathlib import Path

import pytest

from lab.machine import one_thread

one_thread()
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; an outside user has none, and the test is skipped."""
    folder = Path(os.environ.get("JISSHO_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the reference data folder is not beside the checkout (set JISSHO_SHARED)")
    return folder


def a_free_port() -> int:
    """A TCP port on the loopback that nobody listens on, below those that outgoing connections are given."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


@pytest.fixture
def free_port() -> int:
    """`a_free_port`."""
    return a_free_port()


def needs(program: str) -> pytest.MarkDecorator:
    """Skip, with the reason, where a program is not installed."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    return pytest.mark.skipif(not found, reason=f"{program} is not installed")
