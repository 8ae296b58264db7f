"""Donchian channel: the highest high and the lowest low of the last bars, this one included.

    upper[t]  = max(high[t-p+1 .. t]),   lower[t] = min(low[t-p+1 .. t])
    middle[t] = (upper[t] + lower[t]) / 2

Source: R. Donchian's rule of four weeks. TA-Lib has the parts: MAX, MIN and MIDPRICE. Because the
bar itself is in the window a price can touch the channel and never leave it: a breakout is a close
beyond the channel of the bar before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "donchian"
PARAMETERS = (_period(20),)


def names(period: int) -> tuple[str, str, str]:
    """Return the names of the outputs: ``donchian_20_upper``, ``..._middle``, ``..._lower``."""
    stem = f"donchian_{period}"
    return f"{stem}_upper", f"{stem}_middle", f"{stem}_lower"


def warm_up(period: int) -> tuple[int, int, int]:
    """Return how many bars the first values need."""
    return (period,) * 3


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
    begin = windows.blank(out, column, 3, first, last, origin, period)
    if last - begin == 1:
        highest, lowest = windows.extremes(bars, begin, period)
        out[column, begin - origin] = highest
        out[column + 1, begin - origin] = (highest + lowest) / 2.0
        out[column + 2, begin - origin] = lowest
        return
    upper = out[column][begin - origin : last - origin]
    middle = out[column + 1][begin - origin : last - origin]
    lower = out[column + 2][begin - origin : last - origin]
    windows.highest(bars[HIGH], begin, last, period, upper)
    windows.lowest(bars[LOW], begin, last, period, lower)
    for i in range(last - begin):
        middle[i] = (upper[i] + lower[i]) / 2.0
