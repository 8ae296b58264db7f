"""Exponential moving average.

    EMA[p-1] = mean(close[0 .. p-1])
    EMA[t]   = EMA[t-1] + k * (close[t] - EMA[t-1]),   k = 2 / (p + 1)

Source: TA-Lib ``ta_EMA.c`` (the default, "classic" seed).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled

STATE_SIZE = 2
"""Bars seen; the sum of closes while seeding, then the average."""


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``ema_12``."""
    return (f"ema_{period}",)


def warm_up(period: int) -> int:
    """Return how many bars the first value needs."""
    return period


@compiled
def advance(state: NDArray[np.float64], at: int, period: int, close: float) -> float:
    """Take one close into ``state[at:]`` and return the average, NaN until it is seeded."""
    seen = state[at] + 1.0
    state[at] = seen
    if seen > period:
        state[at + 1] += 2.0 / (period + 1.0) * (close - state[at + 1])
    else:
        state[at + 1] += close
        if seen < period:
            return math.nan
        state[at + 1] /= period
    return float(state[at + 1])
