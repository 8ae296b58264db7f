"""Exponential moving average.

    EMA[p-1] = mean(close[0 .. p-1])
    EMA[t]   = EMA[t-1] + k * (close[t] - EMA[t-1]),   k = 2 / (p + 1)

Source: TA-Lib ``ta_EMA.c`` (the default, "classic" seed).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "ema"
PARAMETERS = (_period(12),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``ema_12``."""
    return (f"ema_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs."""
    return (period,)


def lookback(period: int) -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size(period: int) -> int:
    """Return 2: bars seen; the sum of closes while seeding, then the average."""
    return 2


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
    close = bars[CLOSE]
    line = out[column]
    weight = 2.0 / (period + 1.0)
    seen = state[at]
    average = state[at + 1]
    for t in range(first, last):
        seen += 1.0
        if seen > period:
            average += weight * (close[t] - average)
        else:
            average += close[t]
            if seen == period:
                average /= period
        line[t - origin] = average if seen >= period else math.nan
    state[at] = seen
    state[at + 1] = average
