"""Simple moving average.

    SMA[t] = mean(close[t-p+1 .. t])

Source: TA-Lib ``ta_SMA.c``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "sma"
PARAMETERS = (_period(20),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``sma_20``."""
    return (f"sma_{period}",)


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
    begin = windows.not_ready(out[column][first - origin : last - origin], first, last, period)
    windows.means(bars[CLOSE], begin, last, period, out[column][begin - origin : last - origin])
