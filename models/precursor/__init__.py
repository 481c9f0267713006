"""The detector: residuals of every sensor given the others and the past, charted over several memories."""

from models.precursor.detector import Precursor
from models.precursor.fitting import LEAST_ROWS, fit, wild
from models.precursor.resolution import Resolution, coarser, resolution, rounded

__all__ = ["LEAST_ROWS", "Precursor", "Resolution", "coarser", "fit", "resolution", "rounded", "wild"]
