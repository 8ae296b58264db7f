"""The compiled core of the technical engine: apply bars, find rows. Arrays in, arrays out.

State of S series, each with room for R rows; a row number counts from the first bar of its
series, and its slot is ``row - dropped``, because old rows are dropped when the room is used up:

============== ==============================================================================
``counts``     [S, 4]        int64: SEEN rows, DROPPED rows, DIRTY (first row whose values changed
                             since its outputs were computed, NOTHING if none), TOUCHED (a mark)
``bars``       [S, 6, R]     by ``vnpulse.indicators.columns``
``marks``      [S, R, 8]     int64, by the column numbers below
``outputs``    [S, R, K]     indicator values, NaN where not ready
``memory``     [S, 4, M]     states of the indicators, each as of so many rows:
``memory_at``  [S, 4]        int64, UNSET if there is none
============== ==============================================================================

A batch is applied in two steps: first its rows are put in their places, then the indicators run
over every stretch that this changed, from the latest state that is older than the change. Four
states are kept for that: HEAD, as of the last bar; BASE, as of the one before it, saved whenever
the last bar still forms, because it will be computed again; and the last two of the checkpoints
that are taken every ``horizon`` rows, so that a late bar finds one to start from.

Arrays are copied by loops: numba compiles a slice assignment's error text for five seconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators import dispatch
from vnpulse.indicators.columns import BAR_ROWS, CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.indicators.compiled import compiled, compiled_for
from vnpulse.technical import sessions
from vnpulse.technical.sessions import DAY_MS, MINUTE_MS, ZONE_MS

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
HISTORY, HORIZON, KEEP = range(3)
"""Rows that searches reach back; rows that a bar may be late; rows that survive a drop."""

# What ``derived`` says of a series: the series that are made of it, and over what.
NO_SERIES = -1


@compiled
def _compute(
    s: int,
    program: NDArray[np.int64],
    parameters: NDArray[np.float64],
    limits: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    outputs: NDArray[np.float64],
    memory: NDArray[np.float64],
    memory_at: NDArray[np.int64],
    scratch: NDArray[np.float64],
) -> None:
    """Bring the outputs and states of one series up to date."""
    seen = counts[s, SEEN]
    dropped = counts[s, DROPPED]
    dirty = counts[s, DIRTY]
    counts[s, DIRTY] = NOTHING
    size = memory.shape[2]
    start = 0
    for k in range(1, STATES):
        if memory_at[s, k] > dirty:
            memory_at[s, k] = UNSET
        elif memory_at[s, k] > memory_at[s, start] or memory_at[s, start] > dirty:
            start = k
    if start != HEAD:
        for k in range(size):
            memory[s, HEAD, k] = memory[s, start, k]
    at = memory_at[s, start]
    horizon = limits[HORIZON]
    last_checkpoint = seen // horizon * horizon
    forming = seen - 1 if marks[s, seen - 1 - dropped, CLOSED] == 0 else seen
    while at < seen:
        stop = seen
        if at < forming:
            stop = forming
        if at < last_checkpoint < stop:
            stop = last_checkpoint
        if at < last_checkpoint - horizon < stop:
            stop = last_checkpoint - horizon
        stop = min(stop, at + dispatch.CHUNK)
        dispatch.run_program(
            program, parameters, bars[s], at - dropped, stop - dropped, memory[s, HEAD], scratch, at - dropped
        )
        for t in range(at - dropped, stop - dropped):
            for k in range(outputs.shape[2]):
                outputs[s, t, k] = scratch[k, t - at + dropped]
        at = stop
        if at % horizon == 0 and at >= last_checkpoint - horizon:
            saved = CHECKPOINT + at // horizon % 2
            for k in range(size):
                memory[s, saved, k] = memory[s, HEAD, k]
            memory_at[s, saved] = at
        if at == forming and at < seen:
            for k in range(size):
                memory[s, BASE, k] = memory[s, HEAD, k]
            memory_at[s, BASE] = at
    memory_at[s, HEAD] = seen


@compiled
def _drop_old_rows(
    s: int,
    limits: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    outputs: NDArray[np.float64],
) -> None:
    """Keep the newest rows of one series, all of them computed; make room for others."""
    gone = counts[s, SEEN] - counts[s, DROPPED] - limits[KEEP]
    for column in range(BAR_ROWS):
        for t in range(limits[KEEP]):
            bars[s, column, t] = bars[s, column, t + gone]
    for t in range(limits[KEEP]):
        for k in range(MARKS):
            marks[s, t, k] = marks[s, t + gone, k]
        for k in range(outputs.shape[2]):
            outputs[s, t, k] = outputs[s, t + gone, k]
    counts[s, DROPPED] += gone


@compiled
def _first_row_from(bars: NDArray[np.float64], rows: int, time_ms: int) -> int:
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


@compiled
def _set_final(marks: NDArray[np.int64], slot: int, rows: int, offset: int) -> None:
    """Set the final offset of a row and what the search needs of it and all rows after it."""
    marks[slot, FINAL_OFFSET] = offset
    for t in range(slot, rows):
        marks[t, REACH] = marks[t, FINAL_OFFSET]
        if t > 0:
            marks[t, REACH] = max(marks[t, FINAL_OFFSET], marks[t - 1, REACH])


@compiled
def _put(
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
    limits: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
) -> tuple[int, int]:
    """Put a bar in its place in one series with room for it; return what became of it, and its slot."""
    rows = counts[s, SEEN] - counts[s, DROPPED]
    last = rows - 1
    code = NEW
    slot = rows
    if rows > 0 and time_ms <= marks[s, last, TIME_MS]:
        slot = last
        if time_ms < marks[s, last, TIME_MS]:
            slot = _first_row_from(bars[s], rows, time_ms)
        known = marks[s, slot, TIME_MS] == time_ms
        if (
            known
            and bars[s, OPEN, slot] == opened
            and bars[s, HIGH, slot] == high
            and bars[s, LOW, slot] == low
            and bars[s, CLOSE, slot] == close
            and bars[s, VOLUME, slot] == volume
        ):
            code = CONFIRMED if slot == last and closed and marks[s, slot, CLOSED] == 0 else DUPLICATE
        elif known and slot == last:
            code = REPLACED
        elif rows - slot > limits[HORIZON]:
            code = LATE
        else:
            code = MERGED
            if not known:
                for t in range(rows, slot, -1):
                    for column in range(BAR_ROWS):
                        bars[s, column, t] = bars[s, column, t - 1]
                    for k in range(MARKS):
                        marks[s, t, k] = marks[s, t - 1, k]
                rows += 1
    elif rows > 0 and marks[s, last, CLOSED] == 0:
        _set_final(marks[s], last, rows, offset)
    if code in (DUPLICATE, LATE):
        return code, slot
    if code == NEW:
        rows += 1
    counts[s, SEEN] = counts[s, DROPPED] + rows
    marks[s, slot, TIME_MS] = time_ms
    marks[s, slot, PARTITION] = partition
    marks[s, slot, OFFSET] = offset
    marks[s, slot, APPEND_MS] = append_ms
    marks[s, slot, CLOSED] = 1 if closed else 0
    marks[s, slot, STATUS] = code
    # A bar that is not the last of its series does not change by itself any more.
    _set_final(marks[s], slot, rows, offset if closed or code == MERGED else NOT_FINAL)
    first_changed = counts[s, DROPPED] + slot
    if code == CONFIRMED:
        # The same values, but the state before it need not be kept any more.
        return code, slot
    bars[s, OPEN, slot] = opened
    bars[s, HIGH, slot] = high
    bars[s, LOW, slot] = low
    bars[s, CLOSE, slot] = close
    bars[s, VOLUME, slot] = volume
    bars[s, TIME, slot] = time_ms
    counts[s, DIRTY] = min(counts[s, DIRTY], first_changed)
    return code, slot


def _input(dtype: Any, dimensions: int) -> Any:
    # Any layout, and read-only is fine: batches may come out of Ray's object store.
    return types.Array(dtype, dimensions, "A", readonly=True)


def _state(dtype: Any, dimensions: int) -> Any:
    return types.Array(dtype, dimensions, "C")


def _build_apply_bars(source: int) -> Callable[..., None]:
    @compiled_for(
        types.void(
            types.int64,
            types.int64,
            _input(types.int64, 1),
            _input(types.int32, 1),
            _input(types.int64, 1),
            _input(types.float64, 2),
            _input(types.float64, 1),
            _input(types.boolean, 1),
            _input(types.int64, 1),
            _input(types.int64, 1),
            _state(types.int64, 2),
            _state(types.int64, 2),
            _state(types.int64, 3),
            _state(types.int64, 2),
            _state(types.float64, 2),
            _state(types.int64, 1),
            _state(types.int64, 2),
            _state(types.float64, 3),
            _state(types.int64, 3),
            _state(types.float64, 3),
            _state(types.float64, 3),
            _state(types.int64, 2),
            _state(types.float64, 2),
            _state(types.int8, 1),
            _state(types.int64, 1),
        )
    )
    def apply_bars(
        first_row: int,
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
        program: NDArray[np.int64],
        parameters: NDArray[np.float64],
        limits: NDArray[np.int64],
        counts: NDArray[np.int64],
        bars: NDArray[np.float64],
        marks: NDArray[np.int64],
        outputs: NDArray[np.float64],
        memory: NDArray[np.float64],
        memory_at: NDArray[np.int64],
        scratch: NDArray[np.float64],
        status: NDArray[np.int8],
        totals: NDArray[np.int64],
    ) -> None:
        room = bars.shape[2]
        touched = np.empty(counts.shape[0], np.int64)
        touches = 0
        for i in range(first_row, codes.shape[0]):
            s = lookup[codes[i]]
            if s < 0 or source < 0:
                status[i] = IGNORED
                totals[IGNORED] += 1
                continue
            exchange = derived[s, 0]
            of_day = (time_ms[i] + ZONE_MS) % DAY_MS
            if auctions[exchange, 0] <= of_day < auctions[exchange, 1] and derived[s, 1] != 0:
                status[i] = AUCTION
                totals[AUCTION] += 1
                continue
            if counts[s, SEEN] - counts[s, DROPPED] == room:
                _compute(
                    s, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at, scratch
                )
                _drop_old_rows(s, limits, counts, bars, marks, outputs)
            code, slot = _put(
                s, time_ms[i],
                prices[i, OPEN], prices[i, HIGH], prices[i, LOW], prices[i, CLOSE], volume[i], closed[i],
                partition, offsets[i], append_ms[i], limits, counts, bars, marks,
            )  # fmt: skip
            status[i] = code
            totals[code] += 1
            if counts[s, TOUCHED] == 0:
                counts[s, TOUCHED] = 1
                touched[touches] = s
                touches += 1
            if code in (DUPLICATE, LATE):
                continue
            for k in range(2, derived.shape[1], 2):
                d = derived[s, k]
                if d == NO_SERIES:
                    continue
                if counts[d, SEEN] - counts[d, DROPPED] == room:
                    _compute(
                        d, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at,
                        scratch,
                    )  # fmt: skip
                    _drop_old_rows(d, limits, counts, bars, marks, outputs)
                begins, ends = sessions.bucket(time_ms[i], derived[s, k + 1], blocks[exchange])
                rows = counts[s, SEEN] - counts[s, DROPPED]
                at = slot
                while at > 0 and bars[s, TIME, at - 1] >= begins:
                    at -= 1
                opened = bars[s, OPEN, at]
                high = bars[s, HIGH, at]
                low = bars[s, LOW, at]
                total = 0.0
                newest = at
                while at < rows and bars[s, TIME, at] < ends:
                    high = max(high, bars[s, HIGH, at])
                    low = min(low, bars[s, LOW, at])
                    total += bars[s, VOLUME, at]
                    newest = at
                    at += 1
                complete = newest < rows - 1 or (
                    marks[s, newest, CLOSED] != 0 and marks[s, newest, TIME_MS] + MINUTE_MS >= ends
                )
                _put(
                    d, begins, opened, high, low, bars[s, CLOSE, newest], total, complete,
                    partition, offsets[i], append_ms[i], limits, counts, bars, marks,
                )  # fmt: skip
                if counts[d, TOUCHED] == 0:
                    counts[d, TOUCHED] = 1
                    touched[touches] = d
                    touches += 1
        for k in range(touches):
            s = touched[k]
            counts[s, TOUCHED] = 0
            if counts[s, DIRTY] != NOTHING:
                _compute(
                    s, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at, scratch
                )

    return apply_bars


def _source_digest() -> int:
    own = Path(__file__).read_bytes() + Path(sessions.__file__).read_bytes()
    return zlib.crc32(own, dispatch.source_digest())


apply_bars: Callable[..., None] = _build_apply_bars(_source_digest())
"""Apply rows ``first_row ..`` of a batch in order; write each one's status, and count them.

``derived`` int64 [S, 2 + 2 n]: of each series its exchange's number, whether its bars are shorter
than a day, and pairs of a series that is made of it and the length of that one's bars in
milliseconds (NO_SERIES: none). ``auctions`` int64 [E, 2] and ``blocks`` int64 [E, b, 2]: of each
exchange the phase in which nothing is traded yet, and the stretches of trading, in milliseconds
after midnight. ``scratch`` is [outputs, dispatch.CHUNK].
"""


@compiled_for(
    types.Tuple((types.int64[:, ::1], types.int64))(
        _input(types.int64, 2), types.int64, _state(types.int64, 2), _state(types.int64, 3)
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
        _input(types.int64, 1), _input(types.int64, 1), _state(types.int64, 2), _state(types.float64, 3)
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
            slots[i] = _first_row_from(bars[s], rows, limit_ms[i]) - 1
    return slots
