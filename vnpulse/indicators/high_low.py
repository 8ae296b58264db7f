"""Highest high and lowest low of the last weeks, and how far the close is from them.

    high[t] = max(high of the bars of the window),   low[t] = min(low of the bars of the window)
    high_distance[t] = close[t] / high[t] - 1 <= 0,   low_distance[t] = close[t] / low[t] - 1 >= 0

Ours; no TA-Lib counterpart. The window is a stretch of the calendar, whatever the interval of the
bars: the last ``weeks`` * 7 days in Vietnam, today included, of which today counts as far as its
bars go. Holidays are days of the window without bars.

The outputs are ready from the day on which the series has bars of ``weeks`` * 5 days. That many
trading days take ``weeks`` weeks or, with holidays, longer (52 weeks: about two weeks longer), so
the window never begins before the series does. ``warm_up`` counts bars, and is this for daily bars;
of shorter bars it takes as many more as a day has.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, TIME
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter
from vnpulse.messages import DAY_MS, ZONE_MS

KIND = "highlow52"
PARAMETERS = (Parameter("weeks", 52, 1, 52),)

# The state: how many days have had bars; when today ends, epoch milliseconds; the extremes of the
# days before today in the window; today's so far. Then the highs and the lows of the days of the
# window, day d at d modulo their number, which saves keeping the dates; without bars -inf and inf.
_DAYS, _ENDS, _HIGH_BEFORE, _LOW_BEFORE, _HIGH, _LOW, _RING = range(7)


def names(weeks: int) -> tuple[str, str, str, str]:
    """Return the names of the outputs: ``high_52w``, ``low_52w``, ``high_52w_distance``, ``low_...``."""
    return f"high_{weeks}w", f"low_{weeks}w", f"high_{weeks}w_distance", f"low_{weeks}w_distance"


def warm_up(weeks: int) -> tuple[int, int, int, int]:
    """Return how many bars the first values need at one bar a day."""
    return (weeks * 5,) * 4


def lookback(weeks: int) -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size(weeks: int) -> int:
    """Return the size of: six numbers; a high and a low for each day of the window."""
    return _RING + 2 * 7 * weeks


@compiled
def _begin_day(state: NDArray[np.float64], at: int, time: float, weeks: int) -> None:
    """Move the window on to the day of ``time``: put away the day that ends, forget what is too old."""
    size = 7 * weeks
    highs = state[at + _RING : at + _RING + size]
    lows = state[at + _RING + size : at + _RING + 2 * size]
    today = int((time + ZONE_MS) / DAY_MS)
    if state[at + _DAYS] == 0.0:
        for k in range(size):
            highs[k] = -np.inf
            lows[k] = np.inf
        high_before = -np.inf
        low_before = np.inf
    else:
        before = int((state[at + _ENDS] + ZONE_MS) / DAY_MS) - 1
        highs[before % size] = state[at + _HIGH]
        lows[before % size] = state[at + _LOW]
        high_before = max(state[at + _HIGH_BEFORE], state[at + _HIGH])
        low_before = min(state[at + _LOW_BEFORE], state[at + _LOW])
        # All days are searched again only if one that held an extreme leaves the window.
        lost = False
        for day in range(max(before + 1, today - size + 1), today + 1):
            k = day % size
            lost = lost or highs[k] == high_before or lows[k] == low_before
            highs[k] = -np.inf
            lows[k] = np.inf
        if lost:
            high_before = -np.inf
            low_before = np.inf
            for k in range(size):
                high_before = max(high_before, highs[k])
                low_before = min(low_before, lows[k])
    state[at + _DAYS] += 1.0
    state[at + _ENDS] = (today + 1) * DAY_MS - ZONE_MS
    state[at + _HIGH_BEFORE] = high_before
    state[at + _LOW_BEFORE] = low_before
    state[at + _HIGH] = -np.inf
    state[at + _LOW] = np.inf


@compiled
def run(
    bars: NDArray[np.float64],
    first: int,
    last: int,
    state: NDArray[np.float64],
    at: int,
    out: NDArray[np.float64],
    column: int,
    origin: int,
    weeks: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    for t in range(first, last):
        if bars[TIME, t] >= state[at + _ENDS]:
            _begin_day(state, at, bars[TIME, t], weeks)
        state[at + _HIGH] = max(state[at + _HIGH], bars[HIGH, t])
        state[at + _LOW] = min(state[at + _LOW], bars[LOW, t])
        highest = math.nan
        lowest = math.nan
        if state[at + _DAYS] >= 5 * weeks:
            highest = max(state[at + _HIGH_BEFORE], state[at + _HIGH])
            lowest = min(state[at + _LOW_BEFORE], state[at + _LOW])
        out[column, t - origin] = highest
        out[column + 1, t - origin] = lowest
        out[column + 2, t - origin] = bars[CLOSE, t] / highest - 1.0
        out[column + 3, t - origin] = bars[CLOSE, t] / lowest - 1.0
