"""In which longer bar a bar falls: counted from where trading begins, and anew after each break."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled, compiled_for
from vnpulse.messages import DAY_MS, ZONE_MS

MINUTE_MS = 60_000


@compiled
def bucket(time_ms: int, length_ms: int, blocks: NDArray[np.int64]) -> tuple[int, int]:
    """Return when the longer bar that ``time_ms`` falls in begins and ends, epoch milliseconds.

    ``blocks`` int64 [b, 2]: when each stretch of trading without a break begins and ends,
    milliseconds after midnight, ascending. Bars are counted from the beginning of their block,
    and end at the latest a minute after its end: that minute holds the closing auction's print.
    """
    midnight = (time_ms + ZONE_MS) // DAY_MS * DAY_MS - ZONE_MS
    of_day = time_ms - midnight
    begin = 0
    end = DAY_MS
    for k in range(blocks.shape[0]):
        if blocks[k, 0] <= of_day:
            begin = blocks[k, 0]
            end = blocks[k, 1] + MINUTE_MS
    opened = begin + (of_day - begin) // length_ms * length_ms
    closes = opened + length_ms
    if opened < end < closes:
        closes = end
    return midnight + opened, midnight + closes


@compiled_for(types.int64[::1](types.int64[::1], types.int64, types.int64[:, ::1]))
def bucket_begins(time_ms: NDArray[np.int64], length_ms: int, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when the longer bars begin that bars of ``time_ms`` [n] fall in, int64 [n]; see ``bucket``."""
    begins = np.empty(time_ms.shape[0], np.int64)
    for i in range(time_ms.shape[0]):
        begins[i] = bucket(time_ms[i], length_ms, blocks)[0]
    return begins
