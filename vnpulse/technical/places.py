"""Putting bars in their places in one series: compiled functions over the engine's arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import BAR_ROWS, CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.indicators.compiled import compiled
from vnpulse.technical.layout import (
    APPEND_MS,
    CLOSED,
    CONFIRMED,
    DIRTY,
    DROPPED,
    DUPLICATE,
    FINAL_OFFSET,
    HORIZON,
    KEEP,
    LATE,
    MARKS,
    MERGED,
    NEW,
    NOT_FINAL,
    OFFSET,
    PARTITION,
    REACH,
    REPLACED,
    SEEN,
    STATUS,
    TIME_MS,
    first_row_from,
)


@compiled
def keep_newest(
    s: int,
    keep: int,
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    outputs: NDArray[np.float64],
) -> None:
    """Drop all rows of one series but the newest ``keep``; all of them are computed."""
    gone = counts[s, SEEN] - counts[s, DROPPED] - keep
    for column in range(BAR_ROWS):
        for t in range(keep):
            bars[s, column, t] = bars[s, column, t + gone]
    for t in range(keep):
        for k in range(MARKS):
            marks[s, t, k] = marks[s, t + gone, k]
        for k in range(outputs.shape[2]):
            outputs[s, t, k] = outputs[s, t + gone, k]
    counts[s, DROPPED] += gone


@compiled
def drop_old_rows(
    s: int,
    limits: NDArray[np.int64],
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    outputs: NDArray[np.float64],
) -> None:
    """Keep as many of the newest rows of one series as always survive, all of them computed."""
    keep_newest(s, limits[KEEP], counts, bars, marks, outputs)


@compiled
def set_final(marks: NDArray[np.int64], slot: int, rows: int, offset: int) -> None:
    """Set the final offset of a row and what the search needs of it and all rows after it."""
    marks[slot, FINAL_OFFSET] = offset
    for t in range(slot, rows):
        marks[t, REACH] = marks[t, FINAL_OFFSET]
        if t > 0:
            marks[t, REACH] = max(marks[t, FINAL_OFFSET], marks[t - 1, REACH])


@compiled
def put(
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
            slot = first_row_from(bars[s], rows, time_ms)
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
        set_final(marks[s], last, rows, offset)
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
    set_final(marks[s], slot, rows, offset if closed or code == MERGED else NOT_FINAL)
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
