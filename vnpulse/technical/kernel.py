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
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN
from vnpulse.indicators.compiled import any_array, compiled, compiled_for, own_array
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
    start = states.start_from(s, dirty, memory_at)
    if start != HEAD:
        for k in range(size):
            memory[s, HEAD, k] = memory[s, start, k]
    at = memory_at[s, start]
    horizon = limits[HORIZON]
    last_checkpoint = seen // horizon * horizon
    forming = seen - 1 if marks[s, seen - 1 - dropped, CLOSED] == 0 else seen
    while at < seen:
        if at == forming:
            for k in range(size):
                memory[s, BASE, k] = memory[s, HEAD, k]
            memory_at[s, BASE] = at
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
        saved = states.checkpoint_of(at, seen, horizon)
        if saved != UNSET:
            for k in range(size):
                memory[s, saved, k] = memory[s, HEAD, k]
            memory_at[s, saved] = at
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
            code = IGNORED
            if s >= 0 and source >= 0:
                code = rows.screened(s, time_ms[i], derived, auctions)
            if code == NEW:
                for k in range(rows.SELF, derived.shape[1], 2):
                    d = rows.kth_series(s, k, derived)
                    if d != NO_SERIES and counts[d, SEEN] - counts[d, DROPPED] == room:
                        _compute(
                            d, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at,
                            scratch,
                        )  # fmt: skip
                        places.drop_old_rows(d, limits, counts, bars, marks, outputs)
                code, touches = rows.put_row(
                    s, time_ms[i],
                    prices[i, OPEN], prices[i, HIGH], prices[i, LOW], prices[i, CLOSE], volume[i], closed[i],
                    partition, offsets[i], append_ms[i],
                    derived, blocks, limits, counts, bars, marks, touched, touches,
                )  # fmt: skip
            status[i] = code
            totals[code] += 1
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
    for module in (layout, places, rows, sessions, states):
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
