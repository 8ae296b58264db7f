"""The compiled core of the technical engine: apply a batch. Arrays in, arrays out.

First the rows of a batch are put in their places (``places``), then the indicators run over every
stretch that this changed, from the latest state that is older than the change.

A function that takes many arrays for every row has one way out: only then does numba's counting of
references disappear. With an early return it took 0.15 us a row, more than all that the row needs.

Arrays are copied by loops: numba compiles a slice assignment's error text for five seconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators import dispatch
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.indicators.compiled import any_array, compiled, compiled_for, own_array
from vnpulse.messages import DAY_MS, ZONE_MS
from vnpulse.technical import layout, places, sessions
from vnpulse.technical.layout import (
    AUCTION,
    BASE,
    CHECKPOINT,
    CLOSED,
    DIRTY,
    DROPPED,
    DUPLICATE,
    HEAD,
    HORIZON,
    IGNORED,
    LATE,
    NO_SERIES,
    NOTHING,
    SEEN,
    STATES,
    TIME_MS,
    TOUCHED,
    UNSET,
)
from vnpulse.technical.sessions import MINUTE_MS


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


def _build_apply_bars(source: int) -> Callable[..., None]:
    @compiled_for(
        types.void(
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
            own_array(types.int64, 2),
            own_array(types.float64, 2),
            own_array(types.int64, 1),
            own_array(types.int64, 2),
            own_array(types.float64, 3),
            own_array(types.int64, 3),
            own_array(types.float64, 3),
            own_array(types.float64, 3),
            own_array(types.int64, 2),
            own_array(types.float64, 2),
            own_array(types.int8, 1),
            own_array(types.int64, 1),
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
                places.drop_old_rows(s, limits, counts, bars, marks, outputs)
            code, slot = places.put(
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
                    places.drop_old_rows(d, limits, counts, bars, marks, outputs)
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
                places.put(
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
    checksum = dispatch.source_digest()
    for module in (layout, places, sessions):
        checksum = zlib.crc32(Path(str(module.__file__)).read_bytes(), checksum)
    return zlib.crc32(Path(__file__).read_bytes(), checksum)


apply_bars: Callable[..., None] = _build_apply_bars(_source_digest())
"""Apply rows ``first_row ..`` of a batch in order; write each one's status, and count them.

``derived`` int64 [S, 2 + 2 n]: of each series its exchange's number, whether its bars are shorter
than a day, and pairs of a series that is made of it and the length of that one's bars in
milliseconds (NO_SERIES: none). ``auctions`` int64 [E, 2] and ``blocks`` int64 [E, b, 2]: of each
exchange the phase in which nothing is traded yet, and the stretches of trading, in milliseconds
after midnight. ``scratch`` is [outputs, dispatch.CHUNK].
"""
