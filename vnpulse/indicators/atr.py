"""Average true range with Wilder's smoothing, in the unit of the price.

    TR[t]  = max(high[t] - low[t], |high[t] - close[t-1]|, |low[t] - close[t-1]|)
    ATR[p] = mean(TR[1 .. p]),   ATR[t] = (ATR[t-1] * (p - 1) + TR[t]) / p

Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib ``ta_ATR.c``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled

STATE_SIZE = 3
"""Bars seen; previous close; the sum of true ranges while seeding, then the average."""


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``atr_14``."""
    return (f"atr_{period}",)


def warm_up(period: int) -> int:
    """Return how many bars the first value needs: the first bar has no true range."""
    return period + 1


@compiled
def advance(state: NDArray[np.float64], at: int, period: int, high: float, low: float, close: float) -> float:
    """Take one bar into ``state[at:]`` and return the average range, NaN until it is seeded."""
    seen = state[at] + 1.0
    before = state[at + 1]
    state[at] = seen
    state[at + 1] = close
    if seen == 1.0:
        return math.nan
    true_range = max(high - low, abs(high - before), abs(low - before))
    if seen > period + 1.0:
        state[at + 2] = (state[at + 2] * (period - 1.0) + true_range) / period
    else:
        state[at + 2] += true_range
        if seen <= period:
            return math.nan
        state[at + 2] /= period
    return float(state[at + 2])
