"""Relative strength index with Wilder's smoothing.

    gain[t] = max(close[t] - close[t-1], 0),   loss[t] = max(close[t-1] - close[t], 0)
    G[p] = mean(gain[1 .. p]),   G[t] = (G[t-1] * (p - 1) + gain[t]) / p,   L likewise
    RSI[t] = 100 * G[t] / (G[t] + L[t])

Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib ``ta_RSI.c``.
One difference: where G + L is below 1e-14 (a flat series) TA-Lib gives 0, the deepest "oversold";
here it is 50, because a price that does not move is neutral.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled

STATE_SIZE = 4
"""Bars seen; previous close; average gain and average loss (sums while seeding)."""

NEUTRAL = 50.0
FLAT = 1e-14
"""TA-Lib's TA_EPSILON: an average move below this is no move."""


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``rsi_14``."""
    return (f"rsi_{period}",)


def warm_up(period: int) -> int:
    """Return how many bars the first value needs: ``period`` differences."""
    return period + 1


@compiled
def advance(state: NDArray[np.float64], at: int, period: int, close: float) -> float:
    """Take one close into ``state[at:]`` and return the index in [0, 100], NaN until it is seeded."""
    seen = state[at] + 1.0
    change = close - state[at + 1]
    state[at] = seen
    state[at + 1] = close
    if seen == 1.0:
        return math.nan
    gain = max(change, 0.0)
    loss = max(-change, 0.0)
    if seen > period + 1.0:
        state[at + 2] = (state[at + 2] * (period - 1.0) + gain) / period
        state[at + 3] = (state[at + 3] * (period - 1.0) + loss) / period
    else:
        state[at + 2] += gain
        state[at + 3] += loss
        if seen <= period:
            return math.nan
        state[at + 2] /= period
        state[at + 3] /= period
    moved = state[at + 2] + state[at + 3]
    if moved < FLAT:
        return NEUTRAL
    return float(100.0 * state[at + 2] / moved)
