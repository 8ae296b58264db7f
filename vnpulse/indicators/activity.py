"""Activity: in how many of the last bars the price moved at all.

    activity[t] = count(close[i] != close[i-1] for i in t-p+1 .. t) / p

Ours; no TA-Lib counterpart. It tells a market that trends from one that printed a single tick: an
average range taken over bars that do not move is tiny, and anything divided by it looks extreme.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``activity_20``."""
    return (f"activity_{period}",)


def warm_up(period: int) -> int:
    """Return how many bars the first value needs: ``period`` changes of the close."""
    return period + 1


@compiled
def value(closes: NDArray[np.float64], slot: int, seen: int, period: int) -> float:
    """Return the share in [0, 1] of the last ``period`` bars of the ring ``closes`` [bars] that moved."""
    if seen <= period:
        return math.nan
    moved = 0
    at = slot
    for _ in range(period):
        newer = closes[at]
        at -= 1
        if at < 0:
            at = closes.shape[0] - 1
        if closes[at] != newer:
            moved += 1
    return moved / period
