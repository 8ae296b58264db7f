"""Which states of the indicators a series keeps, and from which one it is computed on.

They are described in ``layout``. The same rules hold for the states in this machine's memory and for
those on a GPU, so a snapshot of one engine is one of the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled
from vnpulse.technical.layout import CHECKPOINT, HEAD, STATES, UNSET


@compiled
def start_from(s: int, dirty: int, memory_at: NDArray[np.int64]) -> int:
    """Return the latest state of a series that is not younger than row ``dirty``; unset those that are."""
    start = HEAD
    for k in range(1, STATES):
        if memory_at[s, k] > dirty:
            memory_at[s, k] = UNSET
        elif memory_at[s, k] > memory_at[s, start] or memory_at[s, start] > dirty:
            start = k
    return start


@compiled
def checkpoint_of(row: int, seen: int, horizon: int) -> int:
    """Return in which state the one as of ``row`` is kept for late bars, UNSET if it need not be."""
    if row % horizon == 0 and row >= seen // horizon * horizon - horizon:
        return CHECKPOINT + row // horizon % 2
    return UNSET
