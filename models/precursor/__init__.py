"""The first detector: Hotelling's T² and the squared prediction error of lagged principal components."""

from models.precursor.detector import Precursor
from models.precursor.fitting import LAGS, LEAST_ROWS, fit

__all__ = ["LAGS", "LEAST_ROWS", "Precursor", "fit"]
