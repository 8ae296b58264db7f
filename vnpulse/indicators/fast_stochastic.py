"""Fast stochastic oscillator: where the close is between the lowest low and the highest high.

    %K[t] = 100 * (close[t] - lowest) / (highest - lowest),   of the last ``fastk`` bars
    %D    = SMA_fastd of %K

Source: G. Lane's stochastics; TA-Lib ``ta_STOCHF.c`` with a simple average. Both outputs begin
together. One difference: where highest = lowest (a flat series) TA-Lib gives 0, the deepest
"oversold"; here %K is 50, because a price that does not move is neutral.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE, HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "stochf"
PARAMETERS = (_period(14, name="fastk"), _period(3, low=1, name="fastd"))

NEUTRAL = 50.0


def names(fastk: int, fastd: int) -> tuple[str, str]:
    """Return the names of the outputs: ``stochf_14_3_k``, ``..._d``."""
    stem = f"stochf_{fastk}_{fastd}"
    return f"{stem}_k", f"{stem}_d"


def warm_up(fastk: int, fastd: int) -> tuple[int, int]:
    """Return how many bars the first values need."""
    return (fastk + fastd - 1,) * 2


def lookback(fastk: int, fastd: int) -> int:
    """Return how many bars before its own a value reads."""
    return fastk - 1


def state_size(fastk: int, fastd: int) -> int:
    """Return the size of: bars seen; the ``fastd - 1`` values of %K that %D needs again."""
    return fastd


@compiled
def percent_of_range(value: float, low: float, high: float) -> float:
    """Return where ``value`` is between ``low`` (0) and ``high`` (100, exactly)."""
    return 100.0 * ((value - low) / (high - low)) if high > low else NEUTRAL


@compiled
def percent_k(bars: NDArray[np.float64], row: int, period: int) -> float:
    """Return %K of one row."""
    high, low = windows.extremes(bars, row, period)
    return percent_of_range(bars[CLOSE, row], low, high)


@compiled
def percents_k(
    bars: NDArray[np.float64],
    first: int,
    last: int,
    period: int,
    line: NDArray[np.float64],
    spare: NDArray[np.float64],
) -> None:
    """Compute %K of rows ``first .. last - 1`` into ``line``; ``spare`` is a temporary."""
    close = bars[CLOSE][first:last]
    windows.lowest(bars[LOW], first, last, period, spare)
    windows.highest(bars[HIGH], first, last, period, line)
    for i in range(last - first):
        line[i] = percent_of_range(close[i], spare[i], line[i])


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
    fastk: int,
    fastd: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    # The past may have been cut shorter than the warm-up, so rows are counted from the first bar.
    seen = int(state[at])
    state[at] += last - first
    begin = min(max(first, first + fastk - 1 - seen), last)
    if last - begin == 1:
        percent = percent_k(bars, begin, fastk)
        out[column, begin - origin] = percent
        out[column + 1, begin - origin] = windows.smooth_one(state, at + 1, percent, fastd)
    else:
        k = out[column][begin - origin : last - origin]
        d = out[column + 1][begin - origin : last - origin]
        percents_k(bars, begin, last, fastk, k, d)
        windows.smooth(state, at + 1, k, fastd, d)
    skipped = seen - first
    windows.blank(out, column, 2, first + skipped, last + skipped, origin + skipped, fastk + fastd - 1)
