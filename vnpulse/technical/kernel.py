"""The compiled core of the technical engine: apply a batch. Arrays in, arrays out.

Series after series: first its rows are put in their places (``places``, or ``stretches`` where they
just follow each other), then the indicators run over what this changed, from the latest state that is
older than the change. So the state of a series passes through the caches once a batch.

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
from vnpulse.indicators.compiled import any_array, compiled, compiled_for, inlined, own_array
from vnpulse.technical import layout, places, prefetching, rows, sessions, states, stretches
from vnpulse.technical.layout import (
    BASE,
    CLOSED,
    DIRTY,
    DROPPED,
    HEAD,
    HORIZON,
    IGNORED,
    LEAST,
    LOOKBACK,
    NEW,
    NO_SERIES,
    NOTHING,
    SEEN,
    TOUCHED,
    UNSET,
)

AHEAD = 4
"""So many series before a series' turn its memory is asked for, and twice as many before, where its rows
are. 2 did no worse: memory answers within the time of one or two series."""

ABREAST = 8
"""Outputs that are moved to their rows together: as many as a line of memory holds."""


FEWEST_TO_WAIT, MOST_TO_WAIT = 8, 63
"""A batch with so many rows of a series is a part of a longer history: the indicators run over them when
there is no room left or when somebody wants to know, over all that have come until then. More run well
enough at once, while they are in the caches; of fewer the newest is wanted now."""


@inlined
def _move_outputs(
    scratch: NDArray[np.float64], first: int, last: int, to: NDArray[np.float64], at: int
) -> None:
    """Move columns ``first .. last - 1`` of ``scratch`` to the rows of ``to`` [R, K] from ``at`` on."""
    for begin in range(0, to.shape[1], ABREAST):
        end = min(begin + ABREAST, to.shape[1])
        for t in range(first, last):
            for k in range(begin, end):
                to[at + t - first, k] = scratch[k, t]


@inlined
def _compute(
    s: int,
    wanted: int,
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
    """Bring the states of one series up to date, and its outputs from row ``wanted`` on."""
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
        slot = at - dropped
        if stop - at == 1:
            # A row of outputs is a column of one row each: no detour.
            row = outputs[s, slot].reshape((outputs.shape[2], 1))
            dispatch.run_program(program, parameters, bars[s], slot, slot + 1, memory[s, HEAD], row, slot)
        else:
            begin = max(at, wanted)
            # The memory for the outputs comes while they are computed, some of it with each indicator.
            parts = program.shape[0]
            for part in range(parts):
                prefetching.outputs_of(s, begin - dropped, stop - dropped, part, parts, outputs)
                dispatch.run_program(
                    program[part : part + 1], parameters[part : part + 1], bars[s], slot, stop - dropped,
                    memory[s, HEAD], scratch, slot,
                )  # fmt: skip
            _move_outputs(scratch, begin - at, stop - at, outputs[s], begin - dropped)
        at = stop
        saved = states.checkpoint_of(at, seen, horizon)
        if saved != UNSET:
            for k in range(size):
                memory[s, saved, k] = memory[s, HEAD, k]
            memory_at[s, saved] = at
    memory_at[s, HEAD] = seen


@inlined
def _add_stretch(
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
) -> None:
    """Add rows ``order[begin:end]``, which ``stretches.length`` found, to one series.

    Of more rows than there is room for, those that will be dropped again are only passed through.
    """
    room = bars.shape[2]
    held = counts[s, SEEN] - counts[s, DROPPED]
    oldest = counts[s, DROPPED] + stretches.rows_to_drop(end - begin, held, room, limits)
    at = begin
    while at < end or counts[s, DROPPED] < oldest:
        held = counts[s, SEEN] - counts[s, DROPPED]
        if held == room or at == end:
            _compute(
                s, oldest, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at,
                scratch,
            )  # fmt: skip
            held = max(limits[LEAST], counts[s, SEEN] - oldest)
            if at == end:
                held = counts[s, SEEN] - oldest
            places.keep_newest(s, held, counts, bars, marks, outputs)
        stop = min(end, at + room - held)
        stretches.append(
            s, order, at, stop, partition, time_ms, prices, volume, offsets, append_ms,
            counts, bars, marks, status,
        )  # fmt: skip
        at = stop


@compiled
def _make_room(
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
    """See to it that one series has room for a row."""
    if counts[s, SEEN] - counts[s, DROPPED] == bars.shape[2]:
        _compute(s, 0, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at, scratch)
        places.drop_old_rows(s, limits, counts, bars, marks, outputs)


@inlined
def _apply_to_series(
    s: int,
    order: NDArray[np.int64],
    begin: int,
    end: int,
    touched: NDArray[np.int64],
    partition: int,
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
) -> int:
    """Apply rows ``order[begin:end]`` of a batch, all of one series, to it and to those made of it.

    Returns how many of these series wait for their indicators.
    """
    touches = 0
    at = begin
    while at < end:
        added = stretches.length(s, order, at, end, time_ms, closed, derived, auctions, counts, marks)
        if added > 0:
            _add_stretch(
                s, order, at, at + added, partition, time_ms, prices, volume, offsets, append_ms,
                program, parameters, limits, counts, bars, marks, outputs, memory, memory_at, scratch,
                status,
            )  # fmt: skip
            totals[NEW] += added
            at += added
        else:
            i = order[at]
            code = rows.screened(s, time_ms[i], derived, auctions)
            if code == NEW:
                for k in range(rows.SELF, derived.shape[1], 2):
                    d = rows.kth_series(s, k, derived)
                    if d != NO_SERIES:
                        _make_room(
                            d, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at,
                            scratch,
                        )  # fmt: skip
                code, touches = rows.put_row(
                    s, time_ms[i],
                    prices[i, OPEN], prices[i, HIGH], prices[i, LOW], prices[i, CLOSE], volume[i], closed[i],
                    partition, offsets[i], append_ms[i],
                    derived, blocks, limits, counts, bars, marks, touched, touches,
                )  # fmt: skip
            status[i] = code
            totals[code] += 1
            at += 1
    for k in range(touches):
        counts[touched[k], TOUCHED] = 0
    waiting = 0
    for k in range(rows.SELF, derived.shape[1], 2):
        d = rows.kth_series(s, k, derived)
        if d != NO_SERIES and counts[d, DIRTY] != NOTHING:
            if FEWEST_TO_WAIT <= end - begin <= MOST_TO_WAIT:
                waiting += 1
            else:
                _compute(
                    d, 0, program, parameters, limits, counts, bars, marks, outputs, memory, memory_at,
                    scratch,
                )  # fmt: skip
    return waiting


@inlined
def _by_series(
    first_row: int, codes: NDArray[np.int32], order: NDArray[np.int64], begins: NDArray[np.int64]
) -> None:
    """Order the rows from ``first_row`` on by their code, those of one code as they came.

    Writes the rows to ``order`` and to ``begins`` [codes + 1], zeros before, where in it each code's begin.
    """
    for i in range(first_row, codes.shape[0]):
        begins[codes[i] + 1] += 1
    for c in range(1, begins.shape[0]):
        begins[c] += begins[c - 1]
    for i in range(first_row, codes.shape[0]):
        c = codes[i]
        order[begins[c]] = i
        begins[c] += 1
    for c in range(begins.shape[0] - 1, 0, -1):
        begins[c] = begins[c - 1]
    begins[0] = 0


@compiled
def _apply(
    first_row: int,
    order: NDArray[np.int64],
    begins: NDArray[np.int64],
    touched: NDArray[np.int64],
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
) -> int:
    waiting = 0
    _by_series(first_row, codes, order, begins)
    for c in range(lookup.shape[0]):
        s = lookup[c]
        begin = begins[c]
        end = begins[c + 1]
        if c + 2 * AHEAD < lookup.shape[0]:
            prefetching.counts_of(max(lookup[c + 2 * AHEAD], 0), counts, memory_at)
        if c + AHEAD < lookup.shape[0]:
            prefetching.row_of(
                max(lookup[c + AHEAD], 0), limits[LOOKBACK], counts, bars, marks, outputs, memory
            )
        if s >= 0:
            waiting += _apply_to_series(
                s, order, begin, end, touched, partition, time_ms, prices, volume, closed, offsets, append_ms,
                derived, auctions, blocks, program, parameters, limits, counts, bars, marks, outputs,
                memory, memory_at, scratch, status, totals,
            )  # fmt: skip
        else:
            totals[IGNORED] += end - begin
    return waiting


def _build_apply_bars(source: int) -> Callable[..., int]:
    @compiled_for(
        types.int64(
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
    ) -> int:
        # Here and not in _apply, which is compiled without allocation.
        order = np.empty(max(codes.shape[0] - first_row, 0), np.int64)
        begins = np.zeros(lookup.shape[0] + 1, np.int64)
        touched = np.empty(derived.shape[1], np.int64)
        waiting = 0
        if source >= 0:
            waiting = _apply(
                first_row, order, begins, touched, partition, lookup, codes, time_ms, prices, volume, closed,
                offsets, append_ms, derived, auctions, blocks, program, parameters, limits, counts, bars,
                marks, outputs, memory, memory_at, scratch, status, totals,
            )  # fmt: skip
        return waiting

    return apply_bars


def _source_digest() -> int:
    checksum = dispatch.source_digest()
    for module in (layout, places, prefetching, rows, sessions, states, stretches):
        checksum = zlib.crc32(Path(str(module.__file__)).read_bytes(), checksum)
    return zlib.crc32(Path(__file__).read_bytes(), checksum)


apply_bars: Callable[..., int] = _build_apply_bars(_source_digest())
"""Apply rows ``first_row ..`` of a batch in order; write each one's status, and count them.

Returns how many series wait for their indicators (see FEWEST_TO_WAIT); a batch without rows of them in
which they are listed brings them up to date.
``derived`` int64 [S, 2 + 2 n]: of each series its exchange's number, whether its bars are shorter
than a day, and pairs of a series that is made of it and the length of that one's bars in
milliseconds (NO_SERIES: none). ``auctions`` int64 [E, 2] and ``blocks`` int64 [E, b, 2]: of each
exchange the phase in which nothing is traded yet, and the stretches of trading, in milliseconds
after midnight. ``scratch`` is [outputs, at least dispatch.CHUNK]; ``status`` is IGNORED everywhere.
"""
