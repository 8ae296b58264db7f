"""Weighted moving average: the newest close weighs most, each one before it one step less.

    WMA[t] = sum((p - j) * close[t-j] for j in 0 .. p-1) / (p * (p + 1) / 2)

Source: TA-Lib ``ta_WMA.c``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "wma"
PARAMETERS = (_period(20),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``wma_20``."""
    return (f"wma_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs."""
    return (period,)


def lookback(period: int) -> int:
    """Return how many bars before its own a value reads."""
    return period - 1


def state_size(period: int) -> int:
    """Return 0: a window needs no state."""
    return 0


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
    begin = windows.blank(out, column, 1, first, last, origin, period)
    if last - begin == 1:
        out[column, begin - origin] = windows.weighted_mean(bars[CLOSE], begin, period)
    else:
        windows.weighted_means(bars[CLOSE], begin, last, period, out[column][begin - origin : last - origin])
