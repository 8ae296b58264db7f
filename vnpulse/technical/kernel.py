"""The compiled core of the technical engine: apply bars, find rows. Arrays in, arrays out.

State of S series, each with a ring of H rows (``slot`` = row number modulo H):

=========== ========== ================================================================
``seen``    [S]        rows ever written; the newest is row ``seen - 1``
``closes``  [S, H]     closing prices, side by side because windows read them
``bars``    [S, H, 5]  open, high, low, close, volume
``marks``   [S, H, 8]  int64, by the column numbers below
``outputs`` [S, H, K]  indicator values, NaN where not ready; ``output_names`` of the engine
``memory``  [S, 2, M]  recursive state: as of the bar before the last (BASE), and of the last (HEAD)
=========== ========== ================================================================

The bar that still forms is recomputed from BASE whenever it changes; nothing is ever undone.
Arrays are copied by loops: numba compiles a slice assignment's error text for five seconds.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators import activity, atr, bollinger, ema, macd, rsi, sma
from vnpulse.indicators.compiled import compiled_for, compiled_within

# Columns of ``marks``.
TIME, PARTITION, OFFSET, APPEND_MS, FINAL_OFFSET, REACH, CLOSED, STATUS = range(8)
"""REACH is the largest FINAL_OFFSET of this row and all before it: a search may stop below it."""
MARKS = 8

# Columns of ``bars``.
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
BAR_COLUMNS = 5

NOT_FINAL = -1

# What became of a row of a batch.
NEW, REPLACED, CONFIRMED, DUPLICATE, LATE, IGNORED = range(6)
STATUS_NAMES = ("new", "replaced", "confirmed", "duplicate", "late", "ignored")
"""By status code. confirmed: the same values again, now closed. late: older than the last bar and
not the same as before. ignored: of a series that is not tracked."""

# Columns of ``outputs``.
(
    SMA,
    EMA,
    MACD,
    MACD_SIGNAL,
    MACD_HIST,
    RSI,
    RSI_CHANGE,
    BB_UPPER,
    BB_MIDDLE,
    BB_LOWER,
    ATR,
    ACTIVITY,
) = range(12)
OUTPUTS = 12

# Entries of ``periods``.
(
    P_SMA,
    P_EMA,
    P_FAST,
    P_SLOW,
    P_SIGNAL,
    P_RSI,
    P_RSI_CHANGE,
    P_BB,
    P_ATR,
    P_ACTIVITY,
) = range(10)
PERIODS = 10

BASE, HEAD = 0, 1
AT_EMA = 0
AT_MACD = AT_EMA + ema.STATE_SIZE
AT_RSI = AT_MACD + macd.STATE_SIZE
AT_ATR = AT_RSI + rsi.STATE_SIZE
MEMORY = AT_ATR + atr.STATE_SIZE


def _digest(*modules: ModuleType) -> int:
    """Return a checksum of the modules' source.

    numba's cache notices a change of this file but not of the functions that it compiles in, and
    would go on running the old ones. Constants of a closure are part of its key: this one is.
    """
    checksum = 0
    for module in modules:
        checksum = zlib.crc32(Path(str(module.__file__)).read_bytes(), checksum)
    return checksum


@compiled_within
def _advance(
    state: NDArray[np.float64],
    closes: NDArray[np.float64],
    bars: NDArray[np.float64],
    outputs: NDArray[np.float64],
    slot: int,
    seen: int,
    periods: NDArray[np.int64],
    deviations: float,
) -> None:
    """Take the bar in ``slot`` of one series into ``state`` and write its outputs."""
    close = closes[slot]
    row = outputs[slot]
    row[SMA] = sma.value(closes, slot, seen, periods[P_SMA])
    row[EMA] = ema.advance(state, AT_EMA, periods[P_EMA], close)
    row[MACD], row[MACD_SIGNAL], row[MACD_HIST] = macd.advance(
        state, AT_MACD, periods[P_FAST], periods[P_SLOW], periods[P_SIGNAL], close
    )
    row[RSI] = rsi.advance(state, AT_RSI, periods[P_RSI], close)
    back = periods[P_RSI_CHANGE]
    row[RSI_CHANGE] = math.nan
    if seen > back:
        before = slot - back
        if before < 0:
            before += closes.shape[0]
        row[RSI_CHANGE] = row[RSI] - outputs[before, RSI]
    row[BB_UPPER], row[BB_MIDDLE], row[BB_LOWER] = bollinger.value(
        closes, slot, seen, periods[P_BB], deviations
    )
    row[ATR] = atr.advance(state, AT_ATR, periods[P_ATR], bars[slot, HIGH], bars[slot, LOW], close)
    row[ACTIVITY] = activity.value(closes, slot, seen, periods[P_ACTIVITY])


@compiled_within
def _same(row: NDArray[np.float64], prices: NDArray[np.float64], volume: float) -> bool:
    return bool(
        row[OPEN] == prices[OPEN]
        and row[HIGH] == prices[HIGH]
        and row[LOW] == prices[LOW]
        and row[CLOSE] == prices[CLOSE]
        and row[VOLUME] == volume
    )


@compiled_within
def _row_of_time(marks: NDArray[np.int64], seen: int, time_ms: int) -> int:
    """Return the slot of the bar of ``time_ms`` in one series' ring, -1 if there is none."""
    size = marks.shape[0]
    low = max(0, seen - size)
    high = seen - 1
    while low <= high:
        middle = (low + high) // 2
        found = marks[middle % size, TIME]
        if found == time_ms:
            return int(middle % size)
        if found < time_ms:
            low = middle + 1
        else:
            high = middle - 1
    return -1


@compiled_within
def _finalize(marks: NDArray[np.int64], row: int, offset: int) -> None:
    """Set the final offset of ``row`` (a row number, not a slot) and what the search needs."""
    size = marks.shape[0]
    slot = row % size
    marks[slot, FINAL_OFFSET] = offset
    marks[slot, REACH] = offset
    if row > 0:
        marks[slot, REACH] = max(offset, marks[(row - 1) % size, REACH])


ApplyBars = Callable[..., None]


def _input(dtype: Any, dimensions: int) -> Any:
    # Any layout, and read-only is fine: batches may come out of Ray's object store.
    return types.Array(dtype, dimensions, "A", readonly=True)


def _state(dtype: Any, dimensions: int) -> Any:
    return types.Array(dtype, dimensions, "C")


def _build_apply_bars(source: int) -> ApplyBars:
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
            _state(types.int64, 1),
            types.float64,
            _state(types.int64, 1),
            _state(types.float64, 2),
            _state(types.float64, 3),
            _state(types.int64, 3),
            _state(types.float64, 3),
            _state(types.float64, 3),
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
        periods: NDArray[np.int64],
        deviations: float,
        seen: NDArray[np.int64],
        closes: NDArray[np.float64],
        bars: NDArray[np.float64],
        marks: NDArray[np.int64],
        outputs: NDArray[np.float64],
        memory: NDArray[np.float64],
        status: NDArray[np.int8],
        totals: NDArray[np.int64],
    ) -> None:
        size = closes.shape[1]
        for i in range(first_row, codes.shape[0]):
            s = lookup[codes[i]]
            if s < 0 or source < 0:
                status[i] = IGNORED
                totals[IGNORED] += 1
                continue
            count = seen[s]
            last = (count - 1) % size
            code = NEW
            if count > 0 and time_ms[i] <= marks[s, last, TIME]:
                if time_ms[i] < marks[s, last, TIME]:
                    slot = _row_of_time(marks[s], count, time_ms[i])
                    code = DUPLICATE if slot >= 0 and _same(bars[s, slot], prices[i], volume[i]) else LATE
                elif _same(bars[s, last], prices[i], volume[i]):
                    code = CONFIRMED if closed[i] and marks[s, last, CLOSED] == 0 else DUPLICATE
                else:
                    code = REPLACED
            status[i] = code
            totals[code] += 1
            if code > CONFIRMED:
                continue

            slot = last
            if code == NEW:
                if count > 0 and marks[s, last, CLOSED] == 0:
                    _finalize(marks[s], count - 1, offsets[i])
                slot = count % size
                count += 1
                seen[s] = count
                marks[s, slot, TIME] = time_ms[i]
                for k in range(MEMORY):
                    memory[s, BASE, k] = memory[s, HEAD, k]
            elif code == REPLACED:
                for k in range(MEMORY):
                    memory[s, HEAD, k] = memory[s, BASE, k]
            marks[s, slot, PARTITION] = partition
            marks[s, slot, OFFSET] = offsets[i]
            marks[s, slot, APPEND_MS] = append_ms[i]
            marks[s, slot, CLOSED] = 1 if closed[i] else 0
            marks[s, slot, STATUS] = code
            _finalize(marks[s], count - 1, offsets[i] if closed[i] else NOT_FINAL)
            if code == CONFIRMED:
                continue
            for column in range(4):
                bars[s, slot, column] = prices[i, column]
            bars[s, slot, VOLUME] = volume[i]
            closes[s, slot] = prices[i, CLOSE]
            _advance(memory[s, HEAD], closes[s], bars[s], outputs[s], slot, count, periods, deviations)

    return apply_bars


apply_bars: ApplyBars = _build_apply_bars(_digest(activity, atr, bollinger, ema, macd, rsi, sma))
"""Apply rows ``first_row ..`` of a batch in order; write each one's status, and count them."""


@compiled_for(
    types.Tuple((types.int64[:, ::1], types.int64))(
        _input(types.int64, 2), _state(types.int64, 1), _state(types.int64, 3)
    )
)
def find_final_rows(
    queries: NDArray[np.int64], seen: NDArray[np.int64], marks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Find the bars that became final in stretches of the log.

    ``queries`` int64 [q, 4]: series, partition, first and last offset, inclusive. Returns rows
    int64 [n, 2] of (series, slot), by query and then by time, and how many queries begin before
    the ring does, so that bars may be missing from their answer.
    """
    size = marks.shape[1]
    found = np.empty((max(16, 2 * queries.shape[0]), 2), np.int64)
    n = 0
    beyond = 0
    for q in range(queries.shape[0]):
        s = queries[q, 0]
        partition = queries[q, 1]
        first = queries[q, 2]
        last = queries[q, 3]
        oldest = max(0, seen[s] - size)
        begin = n
        row = seen[s] - 1
        while row >= oldest:
            slot = row % size
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
            row -= 1
        if row < oldest and oldest > 0:
            beyond += 1
        for k in range((n - begin) // 2):
            slot = found[begin + k, 1]
            found[begin + k, 1] = found[n - 1 - k, 1]
            found[n - 1 - k, 1] = slot
    return found[:n], beyond


@compiled_for(
    types.int64[::1](
        _input(types.int64, 1), _input(types.int64, 1), _state(types.int64, 1), _state(types.int64, 3)
    )
)
def find_rows_before(
    series: NDArray[np.int64], limit_ms: NDArray[np.int64], seen: NDArray[np.int64], marks: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the slot of each series' last bar with time < limit, -1 if none; all arrays [n].

    A negative series number means that there is no such series.
    """
    size = marks.shape[1]
    slots = np.full(series.shape[0], -1, np.int64)
    for i in range(series.shape[0]):
        s = series[i]
        if s < 0:
            continue
        row = seen[s] - 1
        while row >= max(0, seen[s] - size):
            if marks[s, row % size, TIME] < limit_ms[i]:
                slots[i] = row % size
                break
            row -= 1
    return slots
