"""Moving average convergence/divergence.

    macd[t]   = EMA_fast[t] - EMA_slow[t]
    signal[t] = EMA_signal of macd
    hist[t]   = macd[t] - signal[t]

Source: TA-Lib ``ta_MACD.c``. Both averages start at bar ``slow - 1``: the fast one is seeded with
the mean of the ``fast`` closes that end there, so until the seed fades it is not the plain EMA.
All three outputs begin together, when the signal line has its seed of ``signal`` values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled

STATE_SIZE = 4
"""Bars seen; fast, slow and signal: each a sum while seeding, then an average."""


def names(fast: int, slow: int, signal: int) -> tuple[str, str, str]:
    """Return the names of the outputs: ``macd_12_26_9``, ``..._signal``, ``..._hist``."""
    stem = f"macd_{fast}_{slow}_{signal}"
    return stem, f"{stem}_signal", f"{stem}_hist"


def warm_up(fast: int, slow: int, signal: int) -> int:
    """Return how many bars the first values need; ``fast`` < ``slow``."""
    return slow + signal - 1


@compiled
def advance(
    state: NDArray[np.float64], at: int, fast: int, slow: int, signal: int, close: float
) -> tuple[float, float, float]:
    """Take one close into ``state[at:]`` and return (macd, signal, histogram), NaN until all are seeded."""
    seen = state[at] + 1.0
    state[at] = seen
    if seen > slow:
        state[at + 1] += 2.0 / (fast + 1.0) * (close - state[at + 1])
        state[at + 2] += 2.0 / (slow + 1.0) * (close - state[at + 2])
    else:
        if seen > slow - fast:
            state[at + 1] += close
        state[at + 2] += close
        if seen < slow:
            return math.nan, math.nan, math.nan
        state[at + 1] /= fast
        state[at + 2] /= slow
    line = state[at + 1] - state[at + 2]
    lines_seen = seen - slow + 1.0
    if lines_seen > signal:
        state[at + 3] += 2.0 / (signal + 1.0) * (line - state[at + 3])
    else:
        state[at + 3] += line
        if lines_seen < signal:
            return math.nan, math.nan, math.nan
        state[at + 3] /= signal
    return line, state[at + 3], line - state[at + 3]
