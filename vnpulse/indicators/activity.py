"""Activity: in how many of the last bars the price moved at all.

    activity[t] = count(close[i] != close[i-1] for i in t-p+1 .. t) / p

Ours; no TA-Lib counterpart. It tells a market that trends from one that printed a single tick: an
average range taken over bars that do not move is tiny, and anything divided by it looks extreme.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "activity"
PARAMETERS = (_period(20),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``activity_20``."""
    return (f"activity_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs: ``period`` changes of the close."""
    return (period + 1,)


def lookback(period: int) -> int:
    """Return how many bars before its own a value reads."""
    return period


def state_size(period: int) -> int:
    """Return 0: a window needs no state."""
    return 0


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
    period: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    close = bars[CLOSE]
    begin = windows.not_ready(out[column][first - origin : last - origin], first, last, period + 1)
    line = out[column][begin - origin : last - origin]
    for i in range(last - begin):
        line[i] = 0.0
    for j in range(period):
        newer = close[begin - j : last - j]
        older = close[begin - j - 1 : last - j - 1]
        for i in range(last - begin):
            line[i] += 1.0 if newer[i] != older[i] else 0.0
    for i in range(last - begin):
        line[i] /= period
