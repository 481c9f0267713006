"""The first detector: Hotelling's T² and the squared prediction error of lagged principal components."""

from models.precursor.detector import Precursor
from models.precursor.fitting import fit

__all__ = ["Precursor", "fit"]
