"""Relative strength index with Wilder's smoothing.

    gain[t] = max(close[t] - close[t-1], 0),   loss[t] = max(close[t-1] - close[t], 0)
    G[p] = mean(gain[1 .. p]),   G[t] = (G[t-1] * (p - 1) + gain[t]) / p,   L likewise
    RSI[t] = 100 * G[t] / (G[t] + L[t])

Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib ``ta_RSI.c``.
One difference: where G + L is below 1e-14 TA-Lib gives 0, the deepest "oversold", to a series that
never moved, and since 0.8 the last ratio to one that stopped; here both are 50, because a price that
does not move is neutral.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "rsi"
PARAMETERS = (_period(14),)

NEUTRAL = 50.0
FLAT = 1e-14
"""TA-Lib's TA_EPSILON: an average move below this is no move."""


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``rsi_14``."""
    return (f"rsi_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs: ``period`` differences."""
    return (period + 1,)


def lookback(period: int) -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size(period: int) -> int:
    """Return 4: bars seen; previous close; average gain and average loss (sums while seeding)."""
    return 4


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
    # (G * (p - 1) + gain) / p with the division taken out of the chain from bar to bar: half the time.
    decay = (period - 1.0) / period
    share = 1.0 / period
    seen = state[at]
    before = state[at + 1]
    gains = state[at + 2]
    losses = state[at + 3]
    for t in range(first, last):
        seen += 1.0
        change = close[t] - before if seen > 1.0 else 0.0
        before = close[t]
        gain = max(change, 0.0)
        loss = max(-change, 0.0)
        if seen > period + 1.0:
            gains = gains * decay + gain * share
            losses = losses * decay + loss * share
        else:
            gains += gain
            losses += loss
            if seen == period + 1.0:
                gains /= period
                losses /= period
        moved = gains + losses
        if seen <= period:
            line[t - origin] = math.nan
        elif moved < FLAT:
            line[t - origin] = NEUTRAL
        else:
            line[t - origin] = 100.0 * gains / moved
    state[at] = seen
    state[at + 1] = before
    state[at + 2] = gains
    state[at + 3] = losses
