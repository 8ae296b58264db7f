"""Average true range with Wilder's smoothing, in the unit of the price.

    TR[t]  = max(high[t] - low[t], |high[t] - close[t-1]|, |low[t] - close[t-1]|)
    ATR[p] = mean(TR[1 .. p]),   ATR[t] = ATR[t-1] * (p - 1) / p + TR[t] / p

Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib ``ta_ATR.c``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "atr"
PARAMETERS = (_period(14),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``atr_14``."""
    return (f"atr_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs: the first bar has no true range."""
    return (period + 1,)


def lookback(period: int) -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size(period: int) -> int:
    """Return 3: bars seen; previous close; the sum of true ranges while seeding, then the average."""
    return 3


@compiled
def true_range(high: float, low: float, before: float) -> float:
    """Return the true range of a bar after a close at ``before``."""
    return max(high - low, abs(high - before), abs(low - before))


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
    high, low, close = bars[HIGH], bars[LOW], bars[CLOSE]
    line = out[column]
    # No division in what one bar waits for from the bar before.
    keep = (period - 1.0) / period
    share = 1.0 - keep
    seen = state[at]
    before = state[at + 1]
    average = state[at + 2]
    for t in range(first, last):
        seen += 1.0
        moved = true_range(high[t], low[t], before)
        before = close[t]
        if seen > period + 1.0:
            average = share * moved + keep * average
        elif seen > 1.0:
            average += moved
            if seen == period + 1.0:
                average /= period
        line[t - origin] = average if seen > period else math.nan
    state[at] = seen
    state[at + 1] = before
    state[at + 2] = average
