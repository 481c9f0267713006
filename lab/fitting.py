"""Fitting models: from records in files, from the first rows of an asset, and for the simulated plant."""

from collections.abc import Sequence

import numpy as np

from models.detector import Detector, Floats
from models.precursor import fit


def learn(runs: Sequence[Floats], sensors: Sequence[str], period_s: float) -> Detector:
    """Fit the lab's detector to normal records; sensors without any value are left out.

    Raises:
        ValueError: too few rows, or no sensor with values.
    """
    there = [at for at in range(len(sensors)) if any(np.isfinite(run[:, at]).any() for run in runs)]
    if not there:
        raise ValueError("no sensor has a value")
    return fit([run[:, there] for run in runs], [sensors[at] for at in there], period_s)
