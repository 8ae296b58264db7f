"""What this machine does of a batch whose indicators a GPU computes: compiled, arrays in, arrays out.

Bars are put in their places here, where searches and merges are cheap; the GPU has a copy of them and
the states of the indicators. Of each series that changed it is told, as one item of work, from which
state and over which rows to compute, gets these rows' bars and gives their outputs back. Every state
that it will have kept is noted here, so nothing but outputs need come back.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN
from vnpulse.indicators.compiled import any_array, compiled_for, own_array
from vnpulse.technical import layout, places, rows, sessions, states
from vnpulse.technical.layout import (
    BASE,
    CLOSED,
    DIRTY,
    DROPPED,
    HEAD,
    HORIZON,
    IGNORED,
    NEW,
    NO_SERIES,
    NOTHING,
    SEEN,
    TOUCHED,
    UNSET,
)

SERIES, GONE, DROPPED_ROWS, START, FIRST, SEEN_ROWS, FORMING, BEGIN = range(8)
"""Columns of the work: the series; how many more of its rows were dropped than the GPU knows; how many
were dropped in all; the state to start from; the row to begin with, the row to end before, and the one
that still forms (as many as SEEN_ROWS if none does), counted from the first bar of the series; where
its rows begin among those of all items."""
WORK_COLUMNS = 8


def _build_place_rows(source: int) -> Callable[..., tuple[int, int]]:
    @compiled_for(
        types.UniTuple(types.int64, 2)(
            own_array(types.int64, 1),
            types.int64,
            types.int64,
            any_array(types.int64, 1),
            any_array(types.int32, 1),
            any_array(types.int64, 1),
            any_array(types.float64, 2),
            any_array(types.float64, 1),
            any_array(types.boolean, 1),
            any_array(types.int64, 1),
            any_array(types.int64, 1),
            own_array(types.int64, 2),
            own_array(types.int64, 2),
            own_array(types.int64, 3),
            own_array(types.int64, 1),
            own_array(types.int64, 2),
            own_array(types.float64, 3),
            own_array(types.int64, 3),
            own_array(types.float64, 3),
            own_array(types.int64, 1),
            own_array(types.int8, 1),
            own_array(types.int64, 1),
        )
    )
    def place_rows(
        pending: NDArray[np.int64],
        most: int,
        partition: int,
        lookup: NDArray[np.int64],
        codes: NDArray[np.int32],
        time_ms: NDArray[np.int64],
        prices: NDArray[np.float64],
        volume: NDArray[np.float64],
        closed: NDArray[np.bool_],
        offsets: NDArray[np.int64],
        append_ms: NDArray[np.int64],
        derived: NDArray[np.int64],
        auctions: NDArray[np.int64],
        blocks: NDArray[np.int64],
        limits: NDArray[np.int64],
        counts: NDArray[np.int64],
        bars: NDArray[np.float64],
        marks: NDArray[np.int64],
        outputs: NDArray[np.float64],
        touched: NDArray[np.int64],
        status: NDArray[np.int8],
        totals: NDArray[np.int64],
    ) -> tuple[int, int]:
        room = bars.shape[2]
        stalled = np.zeros(counts.shape[0], np.bool_)
        touches = 0
        left = 0
        placed = 0
        for n in range(pending.shape[0]):
            i = pending[n]
            s = lookup[codes[i]]
            code = IGNORED
            if s >= 0 and source >= 0:
                code = rows.screened(s, time_ms[i], derived, auctions)
            waits = False
            if code == NEW:
                waits = stalled[s] or placed == most
                for k in range(rows.SELF, derived.shape[1], 2):
                    d = rows.kth_series(s, k, derived)
                    if d != NO_SERIES and counts[d, SEEN] - counts[d, DROPPED] == room and not waits:
                        if counts[d, DIRTY] == NOTHING:
                            places.drop_old_rows(d, limits, counts, bars, marks, outputs)
                        else:
                            stalled[s] = True
                            waits = True
                if not waits:
                    placed += 1
                    code, touches = rows.put_row(
                        s, time_ms[i], prices[i, OPEN], prices[i, HIGH], prices[i, LOW], prices[i, CLOSE],
                        volume[i], closed[i], partition, offsets[i], append_ms[i],
                        derived, blocks, limits, counts, bars, marks, touched, touches,
                    )  # fmt: skip
            if waits:
                pending[left] = i
                left += 1
            else:
                status[i] = code
                totals[code] += 1
        return touches, left

    return place_rows


def _build_plan(source: int) -> Callable[..., tuple[int, int]]:
    @compiled_for(
        types.UniTuple(types.int64, 2)(
            own_array(types.int64, 1),
            own_array(types.int64, 1),
            own_array(types.int64, 2),
            own_array(types.int64, 3),
            own_array(types.int64, 2),
            own_array(types.int64, 1),
            own_array(types.int64, 2),
        )
    )
    def plan(
        touched: NDArray[np.int64],
        limits: NDArray[np.int64],
        counts: NDArray[np.int64],
        marks: NDArray[np.int64],
        memory_at: NDArray[np.int64],
        known_dropped: NDArray[np.int64],
        work: NDArray[np.int64],
    ) -> tuple[int, int]:
        horizon = limits[HORIZON]
        items = 0
        begin = 0
        for n in range(touched.shape[0]):
            s = touched[n]
            counts[s, TOUCHED] = 0
            if counts[s, DIRTY] == NOTHING or source < 0:
                continue
            seen = counts[s, SEEN]
            dropped = counts[s, DROPPED]
            start = states.start_from(s, counts[s, DIRTY], memory_at)
            first = memory_at[s, start]
            forming = seen - 1 if marks[s, seen - 1 - dropped, CLOSED] == 0 else seen
            work[items, SERIES] = s
            work[items, GONE] = dropped - known_dropped[s]
            work[items, DROPPED_ROWS] = dropped
            work[items, START] = start
            work[items, FIRST] = first
            work[items, SEEN_ROWS] = seen
            work[items, FORMING] = forming
            work[items, BEGIN] = begin
            items += 1
            begin += seen - first
            known_dropped[s] = dropped
            counts[s, DIRTY] = NOTHING
            memory_at[s, HEAD] = seen
            if first <= forming < seen:
                memory_at[s, BASE] = forming
            newest = seen // horizon * horizon
            for row in (newest - horizon, newest):
                kept = states.checkpoint_of(row, seen, horizon)
                if row >= first and kept != UNSET:
                    memory_at[s, kept] = row
        return items, begin

    return plan


@compiled_for(types.void(any_array(types.int64, 2), own_array(types.float64, 3), own_array(types.float64, 2)))
def pack_bars(work: NDArray[np.int64], bars: NDArray[np.float64], packed: NDArray[np.float64]) -> None:
    """Copy the bars that ``work`` is about into ``packed`` [6, rows]."""
    for item in range(work.shape[0]):
        s = work[item, SERIES]
        slot = work[item, FIRST] - work[item, DROPPED_ROWS]
        count = work[item, SEEN_ROWS] - work[item, FIRST]
        for column in range(packed.shape[0]):
            for i in range(count):
                packed[column, work[item, BEGIN] + i] = bars[s, column, slot + i]


@compiled_for(types.void(any_array(types.int64, 2), own_array(types.float64, 2), own_array(types.float64, 3)))
def unpack_outputs(
    work: NDArray[np.int64], packed: NDArray[np.float64], outputs: NDArray[np.float64]
) -> None:
    """Copy the outputs ``packed`` [K, rows] of ``work`` to where they belong."""
    for item in range(work.shape[0]):
        s = work[item, SERIES]
        slot = work[item, FIRST] - work[item, DROPPED_ROWS]
        begin = work[item, BEGIN]
        for i in range(work[item, SEEN_ROWS] - work[item, FIRST]):
            for k in range(packed.shape[0]):
                outputs[s, slot + i, k] = packed[k, begin + i]


def _source_digest() -> int:
    checksum = 0
    for module in (layout, places, rows, sessions, states):
        checksum = zlib.crc32(Path(str(module.__file__)).read_bytes(), checksum)
    return zlib.crc32(Path(__file__).read_bytes(), checksum)


place_rows: Callable[..., tuple[int, int]] = _build_place_rows(_source_digest())
"""Put rows of a batch in their places; write the status of each that was, and count it.

``pending`` holds the numbers of the rows, in order. A row must wait until what is there has been
computed if its series has no room left, and with it those after it of the same series; and when
``most`` have been placed, all others. They are written to the beginning of ``pending``. Returns how
many series ``touched`` holds, and how many rows wait.
The other arguments are those of ``kernel.apply_bars``.
"""

plan: Callable[..., tuple[int, int]] = _build_plan(_source_digest())
"""Write the ``work`` [touched, WORK_COLUMNS] that brings the touched series up to date.

Returns how many items there are and how many rows they have together. From here on the counts and
``memory_at`` describe what will be when it is done.
"""
