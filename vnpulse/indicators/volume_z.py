"""Standard score of the volume among the volumes of the last bars, this one included.

    volume_z[t] = (volume[t] - mean) / sd,   mean and population sd of volume[t-p+1 .. t]

Ours; no TA-Lib counterpart (it is made of ``ta_SMA.c`` and ``ta_STDDEV.c``). It is within
+-sqrt(p - 1), and 0 where all volumes are equal.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import VOLUME
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "volume_z"
PARAMETERS = (_period(20),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``volume_z_20``."""
    return (f"volume_z_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs."""
    return (period,)


def lookback(period: int) -> int:
    """Return how many bars before its own a value reads."""
    return period - 1


def state_size(period: int) -> int:
    """Return 1: no state, but room for one mean square."""
    return 1


@compiled
def run(
    bars: NDArray[np.float64],
    first: int,
    last: int,
    state: NDArray[np.float64],
    at: int,
    out: NDArray[np.float64],
    column: int,
    origin: int,
    period: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    volume = bars[VOLUME]
    begin = windows.not_ready(out[column][first - origin : last - origin], first, last, period)
    while begin < last:
        # Half of the rows that are left are computed in the line; the others' half of it is room for
        # the mean squares. The last row has no other.
        rows = max((last - begin) // 2, 1)
        line = out[column][begin - origin : begin + rows - origin]
        squares = state[at : at + 1]
        if begin + rows < last:
            squares = out[column][begin + rows - origin : begin + 2 * rows - origin]
        windows.moments(volume, begin, begin + rows, period, line, squares)
        for i in range(rows):
            # ``line`` has the mean less the newest volume.
            variance = squares[i] - line[i] * line[i]
            line[i] = -line[i] / math.sqrt(variance) if variance > 0.0 else 0.0
        begin += rows
