"""Bollinger bands.

    middle[t] = mean(close[t-p+1 .. t])
    upper, lower = middle +- d * sd,   sd = the population standard deviation of the same closes

Source: J. Bollinger, *Bollinger on Bollinger Bands* (2001); TA-Lib ``ta_BBANDS.c`` with a simple
average. TA-Lib takes the variance as mean(x^2) - mean(x)^2, which on a flat series leaves rounding
noise of about 1e-8 of the price; here it is summed over differences, so a flat series has bands of
width 0 exactly.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.compiled import compiled


def names(period: int, deviations: float) -> tuple[str, str, str]:
    """Return the names of the outputs: ``bb_20_2_upper``, ``..._middle``, ``..._lower``."""
    stem = f"bb_{period}_{deviations:g}"
    return f"{stem}_upper", f"{stem}_middle", f"{stem}_lower"


def warm_up(period: int) -> int:
    """Return how many bars the first values need."""
    return period


@compiled
def value(
    closes: NDArray[np.float64], slot: int, seen: int, period: int, deviations: float
) -> tuple[float, float, float]:
    """Return (upper, middle, lower) over the last ``period`` closes of the ring ``closes`` [bars]."""
    if seen < period:
        return math.nan, math.nan, math.nan
    newest = closes[slot]
    total = 0.0
    squares = 0.0
    at = slot
    for _ in range(period):
        difference = closes[at] - newest
        total += difference
        squares += difference * difference
        at -= 1
        if at < 0:
            at = closes.shape[0] - 1
    shift = total / period
    # Differences are of the size of the spread itself, so nothing cancels; max() only guards the last bit.
    width = deviations * math.sqrt(max(squares / period - shift * shift, 0.0))
    middle = newest + shift
    return middle + width, middle, middle - width
