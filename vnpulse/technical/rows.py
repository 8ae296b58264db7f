"""One row of a batch: whether it counts, its place, and the longer bars that are made of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.indicators.compiled import compiled
from vnpulse.messages import DAY_MS, ZONE_MS
from vnpulse.technical import places, sessions
from vnpulse.technical.layout import (
    AUCTION,
    CLOSED,
    DROPPED,
    DUPLICATE,
    LATE,
    NEW,
    NO_SERIES,
    SEEN,
    TIME_MS,
    TOUCHED,
)
from vnpulse.technical.sessions import MINUTE_MS

SELF, FIRST_LONGER = 0, 2
"""Where ``kth_series`` finds the series itself and the first, of every second, that is made of it."""


@compiled
def screened(s: int, time_ms: int, derived: NDArray[np.int64], auctions: NDArray[np.int64]) -> int:
    """Return AUCTION for a bar of a phase in which its exchange only collects orders, else NEW."""
    exchange = derived[s, 0]
    of_day = (time_ms + ZONE_MS) % DAY_MS
    if auctions[exchange, 0] <= of_day < auctions[exchange, 1] and derived[s, 1] != 0:
        return AUCTION
    return NEW


@compiled
def kth_series(s: int, k: int, derived: NDArray[np.int64]) -> int:
    """Return the series itself for SELF, else the one that is made of it, NO_SERIES if there is none."""
    return s if k == SELF else derived[s, k]


@compiled
def put_row(
    s: int,
    time_ms: int,
    opened: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    closed: bool,
    partition: int,
    offset: int,
    append_ms: int,
    derived: NDArray[np.int64],
    blocks: NDArray[np.int64],
    limits: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    touched: NDArray[np.int64],
    touches: int,
) -> tuple[int, int]:
    """Put a bar in its place in its series and make the longer bars anew that it is part of.

    There must be room for it in each of these. Those that have changed are added to ``touched``.
    Returns what became of the bar, and how many series ``touched`` holds.
    """
    code, slot = places.put(
        s, time_ms, opened, high, low, close, volume, closed, partition, offset, append_ms,
        limits, counts, bars, marks,
    )  # fmt: skip
    if counts[s, TOUCHED] == 0:
        counts[s, TOUCHED] = 1
        touched[touches] = s
        touches += 1
    longer = derived.shape[1] if code not in (DUPLICATE, LATE) else FIRST_LONGER
    for k in range(FIRST_LONGER, longer, 2):
        d = derived[s, k]
        if d == NO_SERIES:
            continue
        begins, ends = sessions.bucket(time_ms, derived[s, k + 1], blocks[derived[s, 0]])
        held = counts[s, SEEN] - counts[s, DROPPED]
        at = slot
        while at > 0 and bars[s, TIME, at - 1] >= begins:
            at -= 1
        first = bars[s, OPEN, at]
        highest = bars[s, HIGH, at]
        lowest = bars[s, LOW, at]
        total = 0.0
        newest = at
        while at < held and bars[s, TIME, at] < ends:
            highest = max(highest, bars[s, HIGH, at])
            lowest = min(lowest, bars[s, LOW, at])
            total += bars[s, VOLUME, at]
            newest = at
            at += 1
        complete = newest < held - 1 or (
            marks[s, newest, CLOSED] != 0 and marks[s, newest, TIME_MS] + MINUTE_MS >= ends
        )
        places.put(
            d, begins, first, highest, lowest, bars[s, CLOSE, newest], total, complete,
            partition, offset, append_ms, limits, counts, bars, marks,
        )  # fmt: skip
        if counts[d, TOUCHED] == 0:
            counts[d, TOUCHED] = 1
            touched[touches] = d
            touches += 1
    return code, touches
