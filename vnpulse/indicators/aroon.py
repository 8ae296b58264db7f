"""Aroon: how recent the highest high and the lowest low of the last ``p`` + 1 bars are.

    up[t]   = 100 * (p - bars since the highest high) / p
    down[t] = 100 * (p - bars since the lowest low) / p
    osc[t]  = up[t] - down[t]

Of equal extremes the latest counts. Source: T. Chande (Stocks & Commodities, September 1995);
TA-Lib ``ta_AROON.c``, whose outputs come in the order down, up, and ``ta_AROONOSC.c``. One
difference: where the highest high is also the lowest low (a flat series) TA-Lib gives 100 for both
up and down, a new high and a new low; here both are 50, because a price that does not move is neutral.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "aroon"
PARAMETERS = (_period(14),)

NEUTRAL = 50.0


def names(period: int) -> tuple[str, str, str]:
    """Return the names of the outputs: ``aroon_14_up``, ``..._down``, ``..._osc``."""
    stem = f"aroon_{period}"
    return f"{stem}_up", f"{stem}_down", f"{stem}_osc"


def warm_up(period: int) -> tuple[int, int, int]:
    """Return how many bars the first values need."""
    return (period + 1,) * 3


def lookback(period: int) -> int:
    """Return how many bars before its own a value reads."""
    return period


def state_size(period: int) -> int:
    """Return 0: a window needs no state."""
    return 0


@compiled
def _strengths(since_high: float, since_low: float, one_price: bool, period: int) -> tuple[float, float]:
    """Return up and down. If both extremes are the last bar's and they are equal, the window is flat."""
    if since_high == 0.0 and since_low == 0.0 and one_price:
        return NEUTRAL, NEUTRAL
    return 100.0 * ((period - since_high) / period), 100.0 * ((period - since_low) / period)


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
    begin = windows.blank(out, column, 3, first, last, origin, period + 1)
    if last - begin == 1:
        up, down = _strengths(
            windows.age(bars[HIGH], begin, period + 1, windows.HIGHEST),
            windows.age(bars[LOW], begin, period + 1, windows.LOWEST),
            bars[HIGH, begin] == bars[LOW, begin],
            period,
        )
        out[column, begin - origin] = up
        out[column + 1, begin - origin] = down
        out[column + 2, begin - origin] = up - down
        return
    ups = out[column][begin - origin : last - origin]
    downs = out[column + 1][begin - origin : last - origin]
    differences = out[column + 2][begin - origin : last - origin]
    windows.ages(bars[HIGH], begin, last, period + 1, windows.HIGHEST, ups, differences)
    windows.ages(bars[LOW], begin, last, period + 1, windows.LOWEST, downs, differences)
    high = bars[HIGH][begin:last]
    low = bars[LOW][begin:last]
    for i in range(last - begin):
        up, down = _strengths(ups[i], downs[i], high[i] == low[i], period)
        ups[i] = up
        downs[i] = down
        differences[i] = up - down
