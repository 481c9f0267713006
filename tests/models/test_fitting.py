"""What fitting makes of a normal record."""

import numpy as np

from models.precursor.fitting import wild
from tests.models.plants import record


def test_what_is_often_far_out_or_stays_there_is_normal() -> None:
    x = record(3000, 1)
    x[100:104, 0] = 9999.0  # a stop
    x[::50, 1] = 9999.0  # a pulse
    x[:, 2] = 0.0
    x[::200, 2] = 1.0  # a state that is seldom another
    assert not wild([x])[0].any()
    x[500, [0, 4]] = 0.0, -1e9
    first, second = wild([x[:400], x[400:]])
    assert not first.any()
    assert np.argwhere(second).tolist() == [[100, 4]], "0 is not far from what sensor 0 reads"
