"""Stretches of a batch that add one closed bar after the other to a series: most of a long history."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.indicators.compiled import inlined
from vnpulse.technical import rows
from vnpulse.technical.layout import (
    APPEND_MS,
    CLOSED,
    DIRTY,
    DROPPED,
    FINAL_OFFSET,
    KEEP,
    NEW,
    NO_SERIES,
    NOT_FINAL,
    OFFSET,
    PARTITION,
    REACH,
    SEEN,
    STATUS,
    TIME_MS,
)


@inlined
def length(
    s: int,
    order: NDArray[np.int64],
    begin: int,
    end: int,
    time_ms: NDArray[np.int64],
    closed: NDArray[np.bool_],
    derived: NDArray[np.int64],
    auctions: NDArray[np.int64],
    counts: NDArray[np.int64],
    marks: NDArray[np.int64],
) -> int:
    """Return how many rows of ``order[begin:end]``, from the first on, just add a closed bar each.

    ``places.put`` would find each of them NEW, and no other row of the series would change: the last
    bar has closed, and no longer bars are made of this series.
    """
    last = counts[s, SEEN] - counts[s, DROPPED] - 1
    possible = end
    for k in range(rows.FIRST_LONGER, derived.shape[1], 2):
        if derived[s, k] != NO_SERIES:
            possible = begin
    latest = np.int64(-(2**62))
    if last >= 0:
        latest = marks[s, last, TIME_MS]
        if marks[s, last, CLOSED] == 0:
            possible = begin
    at = begin
    while at < possible:
        i = order[at]
        if not closed[i] or time_ms[i] <= latest or rows.screened(s, time_ms[i], derived, auctions) != NEW:
            possible = at
        else:
            latest = time_ms[i]
            at += 1
    return at - begin


@inlined
def rows_to_drop(added: int, held: int, room: int, limits: NDArray[np.int64]) -> int:
    """Return how many rows will have been dropped when ``added`` have been put to ``held`` one by one.

    Which rows a series holds then does not depend on how its bars came.
    """
    step = room - limits[KEEP]
    dropped: int = max(held + added - room + step - 1, 0) // step * step
    return dropped


@inlined
def append(
    s: int,
    order: NDArray[np.int64],
    begin: int,
    end: int,
    partition: int,
    time_ms: NDArray[np.int64],
    prices: NDArray[np.float64],
    volume: NDArray[np.float64],
    offsets: NDArray[np.int64],
    append_ms: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    status: NDArray[np.int8],
) -> None:
    """Add rows ``order[begin:end]`` to a series with room for them, as ``places.put`` would one by one."""
    first = counts[s, SEEN] - counts[s, DROPPED]
    reach = marks[s, first - 1, REACH] if first > 0 else np.int64(NOT_FINAL)
    for k in range(end - begin):
        i = order[begin + k]
        slot = first + k
        bars[s, OPEN, slot] = prices[i, OPEN]
        bars[s, HIGH, slot] = prices[i, HIGH]
        bars[s, LOW, slot] = prices[i, LOW]
        bars[s, CLOSE, slot] = prices[i, CLOSE]
        bars[s, VOLUME, slot] = volume[i]
        bars[s, TIME, slot] = time_ms[i]
        reach = max(reach, offsets[i]) if slot > 0 else offsets[i]
        marks[s, slot, TIME_MS] = time_ms[i]
        marks[s, slot, PARTITION] = partition
        marks[s, slot, OFFSET] = offsets[i]
        marks[s, slot, APPEND_MS] = append_ms[i]
        marks[s, slot, FINAL_OFFSET] = offsets[i]
        marks[s, slot, REACH] = reach
        marks[s, slot, CLOSED] = 1
        marks[s, slot, STATUS] = NEW
        status[i] = NEW
    counts[s, DIRTY] = min(counts[s, DIRTY], counts[s, SEEN])
    counts[s, SEEN] += end - begin
