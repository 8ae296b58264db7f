"""Bollinger bands, with %B and bandwidth.

    middle[t] = mean(close[t-p+1 .. t])
    upper, lower = middle +- d * sd,   sd = the population standard deviation of the same closes
    percent_b = (close - lower) / (upper - lower),   bandwidth = (upper - lower) / middle

Source: J. Bollinger, *Bollinger on Bollinger Bands* (2001); TA-Lib ``ta_BBANDS.c`` with a simple
average. TA-Lib takes the variance as mean(x^2) - mean(x)^2, which on a flat series leaves rounding
noise of about 1e-8 of the price; here it is summed over differences, so a flat series has bands of
width 0 exactly, and its %B is 0.5: in the middle.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter
from vnpulse.indicators.parameter import period as _period

KIND = "bb"
PARAMETERS = (_period(20), Parameter("deviations", 2.0, 0.1, 10.0, whole=False))


def names(period: int, deviations: float) -> tuple[str, str, str, str, str]:
    """Return the names of the outputs: ``bb_20_2_upper``, ``..._middle`` and so on."""
    stem = f"bb_{period}_{deviations:g}"
    return f"{stem}_upper", f"{stem}_middle", f"{stem}_lower", f"{stem}_percent_b", f"{stem}_bandwidth"


def warm_up(period: int, deviations: float) -> tuple[int, ...]:
    """Return how many bars the first values need."""
    return (period,) * 5


def lookback(period: int, deviations: float) -> int:
    """Return how many bars before its own a value reads."""
    return period - 1


def state_size(period: int, deviations: float) -> int:
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
    deviations: float,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    close = bars[CLOSE]
    begin = first
    for output in range(5):
        begin = windows.not_ready(out[column + output][first - origin : last - origin], first, last, period)
    upper = out[column][begin - origin : last - origin]
    middle = out[column + 1][begin - origin : last - origin]
    lower = out[column + 2][begin - origin : last - origin]
    percent_b = out[column + 3][begin - origin : last - origin]
    bandwidth = out[column + 4][begin - origin : last - origin]
    # Mean and mean square of the differences from the newest close: of the size of the spread
    # itself, so that nothing cancels; max() only guards the last bit.
    windows.moments(close, begin, last, period, middle, upper)
    for i in range(last - begin):
        newest = close[begin + i]
        width = deviations * math.sqrt(max(upper[i] - middle[i] * middle[i], 0.0))
        average = newest + middle[i]
        upper[i] = average + width
        middle[i] = average
        lower[i] = average - width
        percent_b[i] = (newest - lower[i]) / (upper[i] - lower[i]) if upper[i] > lower[i] else 0.5
        bandwidth[i] = (upper[i] - lower[i]) / average
