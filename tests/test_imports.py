"""The house's rule: imports go down, never up, and never in a circle."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("simulators", "models", "devices", "lab", "api")
BELOW: dict[str, set[str]] = {
    "simulators": set(),
    "models": set(),
    "devices": {"simulators"},
    "lab": {"devices", "models", "simulators"},
    "api": {"lab", "devices", "models", "simulators"},
}
GROUND_FLOOR_MAY_NOT = {"socket", "sqlite3", "paho", "time", "threading", "subprocess", "asyncio", "msgspec", "fastapi"}


def modules() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(file: Path, module: str) -> Iterator[tuple[str, bool]]:
    """Absolute names imported, and whether the import runs when the module is loaded (not inside a function)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        top = id(node) not in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, top
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            for alias in node.names:
                yield f"{base}.{alias.name}", top


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down(room: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for module, file in modules()
        if module.split(".")[0] == room
        for name, _ in imports(file, module)
        if (top := name.split(".")[0]) in ROOMS and top != room and top not in BELOW[room]
    ]
    assert not wrong


def test_lab_takes_simulators_only_where_commands_need_them() -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for module, file in modules()
        if module.startswith("lab.")
        and not module.startswith(("lab.commands.", "lab.plant", "lab.fitting", "lab.causes"))
        for name, _ in imports(file, module)
        if name.startswith("simulators")
    ]
    assert not wrong


def test_no_circles() -> None:
    names = {module for module, _ in modules()}
    graph: dict[str, set[str]] = {}
    for module, file in modules():
        graph[module] = set()
        for name, top in imports(file, module):
            if not top:
                continue
            target = name if name in names else name.rpartition(".")[0]
            # a package's own __init__ loading its parts is no circle by itself
            if target in names and target != module and not module.startswith(f"{target}."):
                graph[module].add(target)
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for target in sorted(graph[module]):
            visit(target, (*trail, module))
        done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_ground_floor_has_no_io_and_no_clock() -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for module, file in modules()
        if module.split(".")[0] in {"simulators", "models"}
        for name, _ in imports(file, module)
        if name.split(".")[0] in GROUND_FLOOR_MAY_NOT
    ]
    assert not wrong


def test_threads_are_limited_before_numpy_is_there() -> None:
    """The library of linear algebra looks at the environment once, when it is loaded."""
    code = "import os, sys; import lab.cli; assert 'numpy' not in sys.modules; sys.argv = ['lab', '--version']; "
    code += "import contextlib\nwith contextlib.suppress(SystemExit): lab.cli.main()\nprint(os.environ[NAME])"
    for name, wanted in (("OPENBLAS_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "3")):
        rest = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
        done = subprocess.run(
            [sys.executable, "-c", code.replace("NAME", repr(name))],
            env=rest | {"OMP_NUM_THREADS": "3"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split()[-1] == wanted


def test_scores_are_the_same_to_the_last_digit_whatever_the_environment_says_of_threads() -> None:
    code = (
        "import numpy as np; from lab.scorer import Scorer; Scorer(); x = np.random.default_rng(1).random((300, 300)); "
    )
    code += "from threadpoolctl import threadpool_info; print([each['num_threads'] for each in threadpool_info()])"
    code += "; print(np.linalg.inv(x).tobytes().hex()[:9999])"
    one, two = (
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in "12"
    )
    assert one == two
