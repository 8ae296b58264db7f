"""How the technical engine keeps its state, arrays over series, and how rows are found in it.

Of S series, each with room for R rows; a row number counts from the first bar of its series, and
its slot is ``row - dropped``, because old rows are dropped when the room is used up:

============== ==============================================================================
``counts``     [S, 4]        int64: SEEN rows, DROPPED rows, DIRTY (first row whose values changed
                             since its outputs were computed, NOTHING if none), TOUCHED (a mark)
``bars``       [S, 6, R]     by ``vnpulse.indicators.columns``
``marks``      [S, R, 8]     int64, by the column numbers below
``outputs``    [S, R, K]     indicator values, NaN where not ready; of a row from DIRTY on, nothing yet
``memory``     [S, 4, M]     states of the indicators, each as of so many rows:
``memory_at``  [S, 4]        int64, UNSET if there is none
============== ==============================================================================

Four states are kept so that a changed row is computed anew from the latest state that is older:
HEAD, as of the last bar that was computed; BASE, as of the one before it, saved whenever the last bar
still forms, because it will be computed again; and the last two of the checkpoints that are taken
every ``horizon`` rows, so that a late bar finds one to start from.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators.columns import TIME
from vnpulse.indicators.compiled import any_array, compiled, compiled_for, own_array

SEEN, DROPPED, DIRTY, TOUCHED = range(4)
COUNTS = 4
NOTHING = np.int64(2**62)
"""A row number that no series reaches."""

# Columns of ``marks``.
TIME_MS, PARTITION, OFFSET, APPEND_MS, FINAL_OFFSET, REACH, CLOSED, STATUS = range(8)
"""REACH is the largest FINAL_OFFSET of this row and all before it: a search may stop below it."""
MARKS = 8

NOT_FINAL = -1

HEAD, BASE, CHECKPOINT = 0, 1, 2
STATES = 4
UNSET = -1

# What became of a row of a batch.
NEW, REPLACED, CONFIRMED, MERGED, DUPLICATE, LATE, AUCTION, IGNORED = range(8)
STATUS_NAMES = ("new", "replaced", "confirmed", "merged", "duplicate", "late", "auction", "ignored")
"""By status code. confirmed: the same values again, now closed. merged: older than the last bar, put
in its place. late: too old for that. auction: of a phase without trades. ignored: of a series that
is not tracked."""

# Entries of ``limits``.
HISTORY, HORIZON, KEEP, LEAST, LOOKBACK = range(5)
"""Rows that searches reach back; rows that a bar may be late; rows that survive a drop; the least of
them that the next row needs; rows before its own that an indicator reads."""

# What ``derived`` says of a series: the series that are made of it, and over what.
NO_SERIES = -1


@compiled
def first_row_from(bars: NDArray[np.float64], rows: int, time_ms: int) -> int:
    """Return the slot of the first of ``rows`` bars of one series that opens at ``time_ms`` or later."""
    low = 0
    high = rows
    while low < high:
        middle = (low + high) // 2
        if bars[TIME, middle] < time_ms:
            low = middle + 1
        else:
            high = middle
    return low


@compiled_for(
    types.Tuple((types.int64[:, ::1], types.int64))(
        any_array(types.int64, 2), types.int64, own_array(types.int64, 2), own_array(types.int64, 3)
    )
)
def find_final_rows(
    queries: NDArray[np.int64], history: int, counts: NDArray[np.int64], marks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Find the bars that became final in stretches of the log, among the last ``history`` of each series.

    ``queries`` int64 [q, 4]: series, partition, first and last offset, inclusive. Returns rows
    int64 [n, 2] of (series, slot), by query and then by time, and how many queries begin before
    the history does, so that bars may be missing from their answer.
    """
    found = np.empty((max(16, 2 * queries.shape[0]), 2), np.int64)
    n = 0
    beyond = 0
    for q in range(queries.shape[0]):
        s = queries[q, 0]
        partition = queries[q, 1]
        first = queries[q, 2]
        last = queries[q, 3]
        rows = counts[s, SEEN] - counts[s, DROPPED]
        oldest = max(0, rows - history)
        begin = n
        slot = rows - 1
        while slot >= oldest:
            if marks[s, slot, REACH] < first:
                break
            final = marks[s, slot, FINAL_OFFSET]
            if final >= first and final <= last and marks[s, slot, PARTITION] == partition:
                if n == found.shape[0]:
                    larger = np.empty((2 * n, 2), np.int64)
                    for k in range(n):
                        larger[k, 0] = found[k, 0]
                        larger[k, 1] = found[k, 1]
                    found = larger
                found[n, 0] = s
                found[n, 1] = slot
                n += 1
            slot -= 1
        if slot < oldest and counts[s, SEEN] > history:
            beyond += 1
        for k in range((n - begin) // 2):
            slot = found[begin + k, 1]
            found[begin + k, 1] = found[n - 1 - k, 1]
            found[n - 1 - k, 1] = slot
    return found[:n], beyond


@compiled_for(
    types.int64[::1](
        any_array(types.int64, 1),
        any_array(types.int64, 1),
        own_array(types.int64, 2),
        own_array(types.float64, 3),
    )
)
def find_rows_before(
    series: NDArray[np.int64],
    limit_ms: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return the slot of each series' last bar with time < limit, -1 if none; all arrays [n].

    A negative series number means that there is no such series.
    """
    slots = np.full(series.shape[0], -1, np.int64)
    for i in range(series.shape[0]):
        s = series[i]
        if s >= 0:
            rows = counts[s, SEEN] - counts[s, DROPPED]
            slots[i] = first_row_from(bars[s], rows, limit_ms[i]) - 1
    return slots
