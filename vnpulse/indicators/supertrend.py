"""Supertrend: a stop of a few average true ranges that only tightens, and the trend it confirms.

    upper, lower = (high + low) / 2 +- multiplier * ATR_period
    upper[t] = min(upper[t], upper[t-1]) unless close[t-1] > upper[t-1]
    lower[t] = max(lower[t], lower[t-1]) unless close[t-1] < lower[t-1]

The direction becomes 1 (up) when the close is above ``upper``, -1 (down) when it is below ``lower``,
and otherwise stays. The supertrend is ``lower`` while the direction is up, else ``upper``.

Source: O. Seban, *Tout le monde mérite d'être riche* (2008), as TradingView's ``ta.supertrend``
defines it, there with -1 for up. TA-Lib has none. Differences:

* TradingView calls the trend down from the first value on. Here the direction is 0 until the close
  has crossed a band, because nothing has confirmed one: a flat series stays at 0, its supertrend at
  its price. The line before that is ``upper``, as there.
* TradingView finds out the direction from which band the last supertrend equals, which turns a trend
  down when both bands meet in one price. Here it is remembered: a price that stops moving keeps it.
* The first bar has no true range (``atr``), so values begin a bar later and differ until that fades.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import atr
from vnpulse.indicators.columns import CLOSE, HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter
from vnpulse.indicators.parameter import period as _period

KIND = "supertrend"
PARAMETERS = (_period(10), Parameter("multiplier", 3.0, 0.1, 10.0, whole=False))

ATR_STATE = atr.state_size(10)
"""Where the state of the bands begins: after the average true range's, of one size for all."""


def names(period: int, multiplier: float) -> tuple[str, str]:
    """Return the names of the outputs: ``supertrend_10_3``, ``..._direction``."""
    stem = f"supertrend_{period}_{multiplier:g}"
    return stem, f"{stem}_direction"


def warm_up(period: int, multiplier: float) -> tuple[int, int]:
    """Return how many bars the first values need."""
    return atr.warm_up(period) * 2


def lookback(period: int, multiplier: float) -> int:
    """Return 1: bands loosen after a close beyond them."""
    return 1


def state_size(period: int, multiplier: float) -> int:
    """Return the size of: the average true range's state; upper band, lower band and direction."""
    return ATR_STATE + 3


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
    multiplier: float,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    high, low, close = bars[HIGH], bars[LOW], bars[CLOSE]
    line, directions = out[column], out[column + 1]
    seen = state[at]
    atr.run(bars, first, last, state, at, out, column, origin, period)
    upper = state[at + ATR_STATE]
    lower = state[at + ATR_STATE + 1]
    direction = state[at + ATR_STATE + 2]
    for t in range(first, last):
        seen += 1.0
        if seen <= period:
            directions[t - origin] = math.nan
            continue
        if seen == period + 1.0:
            # Any band is tighter than none.
            upper = math.inf
            lower = -math.inf
        width = multiplier * line[t - origin]
        middle = (high[t] + low[t]) / 2.0
        upper = middle + width if close[t - 1] > upper else min(middle + width, upper)
        lower = middle - width if close[t - 1] < lower else max(middle - width, lower)
        if direction > 0.0:
            direction = -1.0 if close[t] < lower else 1.0
        elif close[t] > upper:
            direction = 1.0
        elif close[t] < lower:
            direction = -1.0
        line[t - origin] = lower if direction > 0.0 else upper
        directions[t - origin] = direction
    state[at + ATR_STATE] = upper
    state[at + ATR_STATE + 1] = lower
    state[at + ATR_STATE + 2] = direction
