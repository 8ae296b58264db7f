"""What windowed indicators are made of: sums and extremes of the last ``period`` values.

Every function fills ``line[i]`` for the rows ``first + i`` of ``x``, ``first <= row < last``; the
window of a row is itself and the ``period - 1`` before it. The caller sees to it that these exist.

Nothing is carried from row to row, so nothing drifts, a row's value does not depend on where its
series begins, and rows are independent of each other: the loop over the window is the outer one,
and the inner one over rows becomes SIMD code. A single row, the live case, takes a plain loop
instead, with the operations in the same order, so both give the same bits. Extremes are exact in
any order; windows longer than LONG take them in ways that do not cost more the longer they are.

``smooth`` and ``extremes_after`` are for values that are no row of ``bars`` but were computed, such
as a %K that is smoothed. Their window reaches over the values of this run into ``past``: the
``period - 1`` values before them, oldest first, in ``state`` from ``at`` on.

Functions of one row return it, without an array for it: making views of arrays takes a good part
of the time of a single row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import HIGH, LOW
from vnpulse.indicators.compiled import compiled

Line = NDArray[np.float64]

LONG = 10
"""The longest window whose extremes are cheaper to take value by value (measured)."""

FEW = 8
"""A number of rows that are not worth halving."""

HIGHEST, LOWEST = 1.0, -1.0
"""Signs for functions that take either extreme: the largest of ``sign * x``, times ``sign``."""


@compiled
def not_ready(line: Line, first: int, last: int, needed: int) -> int:
    """Write NaN for the rows before the ``needed``-th bar; return the first row after them."""
    ready = min(max(first, needed - 1), last)
    for i in range(ready - first):
        line[i] = np.nan
    return ready


@compiled
def blank(out: Line, column: int, outputs: int, first: int, last: int, origin: int, needed: int) -> int:
    """Do what ``not_ready`` does, in ``outputs`` rows of ``out`` from ``column`` on."""
    ready = min(max(first, needed - 1), last)
    for output in range(column, column + outputs):
        for t in range(first, ready):
            out[output, t - origin] = np.nan
    return ready


@compiled
def means(x: Line, first: int, last: int, period: int, line: Line) -> None:
    """Arithmetic mean, taken over differences from the newest value: exact where the series is flat."""
    # Four at a time: additions wait for each other, and a line of rows is loaded and stored less often.
    fours = (period - 1) // 4
    if last - first == 1:
        window = x[first - period + 1 : first + 1]
        newest = window[period - 1]
        total = 0.0
        for k in range(fours):
            v = window[period - 5 - 4 * k : period - 1 - 4 * k]
            total += ((v[3] - newest) + (v[2] - newest)) + ((v[1] - newest) + (v[0] - newest))
        for j in range(1 + 4 * fours, period):
            total += window[period - 1 - j] - newest
        line[0] = newest + total / period
        return
    now = x[first:last]
    for i in range(last - first):
        line[i] = 0.0
    for k in range(fours):
        j = 1 + 4 * k
        a = x[first - j : last - j]
        b = x[first - j - 1 : last - j - 1]
        c = x[first - j - 2 : last - j - 2]
        d = x[first - j - 3 : last - j - 3]
        for i in range(last - first):
            line[i] += ((a[i] - now[i]) + (b[i] - now[i])) + ((c[i] - now[i]) + (d[i] - now[i]))
    for j in range(1 + 4 * fours, period):
        a = x[first - j : last - j]
        for i in range(last - first):
            line[i] += a[i] - now[i]
    for i in range(last - first):
        line[i] = now[i] + line[i] / period


@compiled
def weighted_mean(x: Line, row: int, period: int) -> float:
    """Return the ``weighted_means`` of one row."""
    window = x[row - period + 1 : row + 1]
    newest = window[period - 1]
    fours = (period - 1) // 4
    total = 0.0
    for k in range(fours):
        w = float(period - 1 - 4 * k)
        v = window[period - 5 - 4 * k : period - 1 - 4 * k]
        total += (w * (v[3] - newest) + (w - 1.0) * (v[2] - newest)) + (
            (w - 2.0) * (v[1] - newest) + (w - 3.0) * (v[0] - newest)
        )
    for j in range(1 + 4 * fours, period):
        total += float(period - j) * (window[period - 1 - j] - newest)
    mean: float = newest + total / (period * (period + 1) / 2)
    return mean


@compiled
def weighted_means(x: Line, first: int, last: int, period: int, line: Line) -> None:
    """Mean with the weights ``period``, ..., 2, 1 from the newest value back, over differences from it."""
    now = x[first:last]
    fours = (period - 1) // 4
    for i in range(last - first):
        line[i] = 0.0
    for k in range(fours):
        j = 1 + 4 * k
        w = float(period - j)
        a = x[first - j : last - j]
        b = x[first - j - 1 : last - j - 1]
        c = x[first - j - 2 : last - j - 2]
        d = x[first - j - 3 : last - j - 3]
        for i in range(last - first):
            line[i] += (w * (a[i] - now[i]) + (w - 1.0) * (b[i] - now[i])) + (
                (w - 2.0) * (c[i] - now[i]) + (w - 3.0) * (d[i] - now[i])
            )
    for j in range(1 + 4 * fours, period):
        w = float(period - j)
        a = x[first - j : last - j]
        for i in range(last - first):
            line[i] += w * (a[i] - now[i])
    for i in range(last - first):
        line[i] = now[i] + line[i] / (period * (period + 1) / 2)


@compiled
def extremes(bars: Line, row: int, period: int) -> tuple[float, float]:
    """Return the highest high and the lowest low of one row.

    Each is taken in four strands that do not wait for each other.
    """
    highs = bars[HIGH][row - period + 1 : row + 1]
    lows = bars[LOW][row - period + 1 : row + 1]
    a = b = c = d = highs[period - 1]
    e = f = g = h = lows[period - 1]
    for k in range(period // 4):
        a = max(a, highs[4 * k])
        b = max(b, highs[4 * k + 1])
        c = max(c, highs[4 * k + 2])
        d = max(d, highs[4 * k + 3])
        e = min(e, lows[4 * k])
        f = min(f, lows[4 * k + 1])
        g = min(g, lows[4 * k + 2])
        h = min(h, lows[4 * k + 3])
    for k in range(period // 4 * 4, period):
        a = max(a, highs[k])
        e = min(e, lows[k])
    return max(max(a, b), max(c, d)), min(min(e, f), min(g, h))


@compiled
def long_extremes(x: Line, first: int, last: int, period: int, sign: float, line: Line) -> None:
    """Extremes of long windows, by M. van Herk's and J. Gil's and M. Werman's algorithm.

    Rows are taken ``period`` at a time: the window of each is the end of the stretch before them
    and the beginning of their own, and the extremes of both are found in one pass over each.
    """
    for begin in range(first, last, period):
        before = x[begin - period + 1 : begin]
        own = x[begin : min(begin + period, last)]
        best = -np.inf
        for k in range(period - 2, -1, -1):
            best = max(best, sign * before[k])
            if k < len(own):
                line[begin - first + k] = best
        best = -np.inf
        for k in range(len(own)):
            best = max(best, sign * own[k])
            line[begin - first + k] = sign * (max(best, line[begin - first + k]) if k < period - 1 else best)


@compiled
def highest(x: Line, first: int, last: int, period: int, line: Line) -> None:
    """Largest value."""
    if period > LONG and last - first > 1:
        long_extremes(x, first, last, period, HIGHEST, line)
        return
    if last - first == 1:
        best = x[first]
        for j in range(1, period):
            value = x[first - j]
            best = value if value > best else best
        line[0] = best
        return
    for i in range(last - first):
        line[i] = x[first + i]
    for j in range(1, period):
        then = x[first - j : last - j]
        for i in range(last - first):
            line[i] = then[i] if then[i] > line[i] else line[i]


@compiled
def lowest(x: Line, first: int, last: int, period: int, line: Line) -> None:
    """Smallest value."""
    if period > LONG and last - first > 1:
        long_extremes(x, first, last, period, LOWEST, line)
        return
    if last - first == 1:
        best = x[first]
        for j in range(1, period):
            value = x[first - j]
            best = value if value < best else best
        line[0] = best
        return
    for i in range(last - first):
        line[i] = x[first + i]
    for j in range(1, period):
        then = x[first - j : last - j]
        for i in range(last - first):
            line[i] = then[i] if then[i] < line[i] else line[i]


@compiled
def age(x: Line, row: int, period: int, sign: float) -> float:
    """Return the ``ages`` of one row."""
    window = x[row - period + 1 : row + 1]
    best = -np.inf
    found = 0
    for k in range(period):
        value = sign * window[k]
        found = k if value >= best else found
        best = value if value >= best else best
    return float(period - 1 - found)


@compiled
def ages(x: Line, first: int, last: int, period: int, sign: float, line: Line, spare: Line) -> None:
    """How many rows ago the extreme was, the latest of equal ones; ``spare`` is a temporary."""
    for i in range(last - first):
        spare[i] = sign * x[first + i]
        line[i] = 0.0
    for j in range(1, period):
        then = x[first - j : last - j]
        rows_ago = float(j)
        for i in range(last - first):
            value = sign * then[i]
            line[i] = rows_ago if value > spare[i] else line[i]
            spare[i] = value if value > spare[i] else spare[i]


@compiled
def moments(x: Line, first: int, last: int, period: int, line: Line, squares: Line) -> None:
    """Mean and mean square of the differences from the newest value of the window."""
    pairs = (period - 1) // 2
    if last - first == 1:
        window = x[first - period + 1 : first + 1]
        newest = window[period - 1]
        total = 0.0
        square = 0.0
        for k in range(pairs):
            u = window[period - 2 - 2 * k] - newest
            v = window[period - 3 - 2 * k] - newest
            total += u + v
            square += u * u + v * v
        for j in range(1 + 2 * pairs, period):
            u = window[period - 1 - j] - newest
            total += u
            square += u * u
        line[0] = total / period
        squares[0] = square / period
        return
    now = x[first:last]
    for i in range(last - first):
        line[i] = 0.0
        squares[i] = 0.0
    for k in range(pairs):
        j = 1 + 2 * k
        a = x[first - j : last - j]
        b = x[first - j - 1 : last - j - 1]
        for i in range(last - first):
            u = a[i] - now[i]
            v = b[i] - now[i]
            line[i] += u + v
            squares[i] += u * u + v * v
    for j in range(1 + 2 * pairs, period):
        a = x[first - j : last - j]
        for i in range(last - first):
            u = a[i] - now[i]
            line[i] += u
            squares[i] += u * u
    for i in range(last - first):
        line[i] /= period
        squares[i] /= period


@compiled
def remember(state: Line, at: int, values: Line, period: int) -> None:
    """Put ``values`` into the past and drop as many of its oldest."""
    past = state[at : at + period - 1]
    kept = max(len(past) - len(values), 0)
    for k in range(kept):
        past[k] = past[len(past) - kept + k]
    added = len(past) - kept
    for k in range(added):
        past[kept + k] = values[len(values) - added + k]


@compiled
def remember_one(state: Line, at: int, value: float, period: int) -> None:
    """Put one value into the past and drop its oldest."""
    past = state[at : at + period - 1]
    for k in range(len(past) - 1):
        past[k] = past[k + 1]
    if len(past) > 0:
        past[len(past) - 1] = value


@compiled
def smooth(state: Line, at: int, values: Line, period: int, line: Line) -> None:
    """Arithmetic mean as ``means`` takes it, of computed values, which it remembers."""
    past = state[at : at + period - 1]
    rows = len(values)
    for i in range(rows):
        line[i] = 0.0
    for j in range(1, period):
        split = min(j, rows)
        then = past[period - 1 - j :]
        for i in range(split):
            line[i] += then[i] - values[i]
        then = values[: rows - split]
        now = values[split:]
        own = line[split:]
        for i in range(rows - split):
            own[i] += then[i] - now[i]
    for i in range(rows):
        line[i] = values[i] + line[i] / period
    remember(state, at, values, period)


@compiled
def smooth_one(state: Line, at: int, value: float, period: int) -> float:
    """Return the ``smooth`` of one value, and remember it."""
    past = state[at : at + period - 1]
    total = 0.0
    for k in range(len(past)):
        total += past[len(past) - 1 - k] - value
    remember_one(state, at, value, period)
    return value + total / period


@compiled
def extremes_after(state: Line, at: int, values: Line, period: int, highs: Line, lows: Line) -> None:
    """Largest and smallest of computed values, which it does not remember."""
    past = state[at : at + period - 1]
    rows = len(values)
    for i in range(rows):
        highs[i] = values[i]
        lows[i] = values[i]
    for j in range(1, period):
        split = min(j, rows)
        then = past[period - 1 - j :]
        for i in range(split):
            highs[i] = max(highs[i], then[i])
            lows[i] = min(lows[i], then[i])
        then = values[: rows - split]
        high = highs[split:]
        low = lows[split:]
        for i in range(rows - split):
            high[i] = max(high[i], then[i])
            low[i] = min(low[i], then[i])


@compiled
def extremes_after_one(state: Line, at: int, value: float, period: int) -> tuple[float, float]:
    """Return the ``extremes_after`` of one value: the largest and the smallest."""
    past = state[at : at + period - 1]
    largest = value
    smallest = value
    for k in range(len(past)):
        largest = max(largest, past[k])
        smallest = min(smallest, past[k])
    return largest, smallest
