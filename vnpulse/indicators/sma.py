"""Simple moving average.

    SMA[t] = mean(close[t-p+1 .. t])

Source: TA-Lib ``ta_SMA.c``. The mean is taken over differences from the newest close, so a flat
series gives its price exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``sma_20``."""
    return (f"sma_{period}",)


def warm_up(period: int) -> int:
    """Return how many bars the first value needs."""
    return period


@compiled
def value(closes: NDArray[np.float64], slot: int, seen: int, period: int) -> float:
    """Return the mean of the last ``period`` closes of the ring ``closes`` [bars], NaN if fewer were seen."""
    if seen < period:
        return math.nan
    newest = closes[slot]
    total = 0.0
    at = slot
    for _ in range(period):
        total += closes[at] - newest
        at -= 1
        if at < 0:
            at = closes.shape[0] - 1
    return float(newest + total / period)
