"""Cost of a simulated plant's step, with noise and control, and of a run of 48 h, in processor time of one core."""

import platform
from importlib.util import find_spec
from time import process_time

import numpy as np

from simulators import tep

SIZES = (1, 16, 128, 1024)
MEASURED = {1: 310.0, 16: 20.0, 128: 3.3, 1024: 1.3}
"""Microseconds of a plain NumPy batch, right-hand side and Euler step only, as a figure to compare with."""
RUN_H = 48.0


def _batch_us(plants: int, path: tep.Path) -> float:
    """Microseconds per plant and step, the best of three stretches."""
    steps = 300 if plants < 1024 else 150
    inputs = tep.Inputs.none(plants)
    state = tep.advance(tep.start(range(1, plants + 1)), inputs, 30, path=path)
    best = float("inf")
    for _ in range(3):
        begun = process_time()
        state = tep.advance(state, inputs, steps, path=path)
        best = min(best, process_time() - begun)
    return best / (steps * plants) * 1e6


def _run_s(path: tep.Path, generator: tep.Generator, hours: float) -> float:
    begun = process_time()
    tep.run(hours, seed=1, generator=generator, path=path)
    return process_time() - begun


def run() -> str:
    """A table in Markdown."""
    compiled = find_spec("numba") is not None
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    if compiled:
        import numba

        versions += f", numba {numba.__version__}"
    lines = [
        f"{platform.processor() or platform.machine()}, {versions}. Tennessee Eastman plant with noise and control.",
        "",
        "Processor microseconds per plant-step; in brackets a plain NumPy right-hand side without noise and control.",
        "",
        "| plants | batch (NumPy) | fastest path |",
        "|---|---|---|",
    ]
    batch = {}
    for plants in SIZES:
        batch[plants] = _batch_us(plants, "batch")
        others: list[tep.Path] = ["compiled"] if compiled else ["plain"] if plants <= 16 else []
        fastest = min([batch[plants], *(_batch_us(plants, path) for path in others)])
        lines.append(f"| {plants} | {batch[plants]:.1f} ({MEASURED[plants]}) | {fastest:.1f} |")
    lines += [
        "",
        f"A plant-step among {SIZES[-1]} plants is {batch[1] / batch[SIZES[-1]]:.0f} times cheaper than alone in the "
        "batch path.",
        "",
        f"| one plant, {RUN_H:.0f} h | numpy generator, CPU s | reference generator, CPU s |",
        "|---|---|---|",
    ]
    share = 6.0  # the pure path is measured over this part of the run and scaled
    pure = [_run_s("plain", generator, RUN_H / share) * share for generator in ("numpy", "reference")]
    lines.append(f"| plain Python | {pure[0]:.1f} | {pure[1]:.1f} |")
    if compiled:
        begun = process_time()
        tep.run(0.1, path="compiled")
        loading = process_time() - begun
        fast = [_run_s("compiled", generator, RUN_H) for generator in ("numpy", "reference")]
        lines.append(f"| with numba (loaded in {loading:.1f} s) | {fast[0]:.2f} | {fast[1]:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(run())
