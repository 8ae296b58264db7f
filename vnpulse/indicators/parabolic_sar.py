"""Parabolic SAR ("stop and reverse"): a stop that follows a trend ever faster until it is touched.

In a rising trend, with ``extreme`` the highest high since it began:

    SAR[t+1] = min(SAR[t] + f * (extreme - SAR[t]), low[t], low[t-1])

where f is ``acceleration``, grows by that at every new extreme, and ends at ``maximum``. A low at or
below the SAR turns the trend: the SAR becomes the extreme of the trend that ended (or the highest of
this and the last high, if that is higher), and f begins anew. A falling trend is its mirror image.

The trend at the second bar is down where its low moved down, and by more than its high moved up;
otherwise up. It has the first bar's low (or high) as its stop. That, too, is how TA-Lib begins.

Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib ``ta_SAR.c``. One
difference: TA-Lib lowers an acceleration above the maximum to it; here it is an error. On a flat
series every bar touches the stop, which stays at the price.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter

KIND = "sar"
PARAMETERS = (
    Parameter("acceleration", 0.02, 0.001, 1.0, whole=False),
    Parameter("maximum", 0.2, 0.001, 1.0, whole=False),
)


def names(acceleration: float, maximum: float) -> tuple[str]:
    """Return the name of the output: ``sar_0.02_0.2``."""
    return (f"sar_{acceleration:g}_{maximum:g}",)


def warm_up(acceleration: float, maximum: float) -> tuple[int]:
    """Return how many bars the first value needs. Raises ValueError if ``acceleration`` > ``maximum``."""
    if acceleration > maximum:
        raise ValueError(f"acceleration was {acceleration:g}, must not be above maximum ({maximum:g})")
    return (2,)


def lookback(acceleration: float, maximum: float) -> int:
    """Return 1: the stop stays outside of the last two bars."""
    return 1


def state_size(acceleration: float, maximum: float) -> int:
    """Return 4: the trend, 1 up, -1 down, 0 before the second bar; the next stop; extreme; factor."""
    return 4


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
    acceleration: float,
    maximum: float,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    high, low = bars[HIGH], bars[LOW]
    line = out[column]
    # Prices are multiplied by the trend's sign, as are ``stop`` and ``extreme``, also in the state:
    # then every trend rises, ``near`` is the side of a bar that may touch the stop, ``far`` the other.
    trend = state[at]
    stop = state[at + 1]
    extreme = state[at + 2]
    factor = state[at + 3]
    for t in range(first, last):
        if t == 0:
            line[t - origin] = math.nan
            continue
        before = t - 1
        if trend == 0.0:
            fall = low[t - 1] - low[t]
            trend = -1.0 if fall > 0.0 and fall > high[t] - high[t - 1] else 1.0
            stop = low[t - 1] if trend > 0.0 else -high[t - 1]
            extreme = high[t] if trend > 0.0 else -low[t]
            factor = acceleration
            # The first bar does not bound the stop, it is the stop.
            before = t
        near = low[t] if trend > 0.0 else -high[t]
        far = high[t] if trend > 0.0 else -low[t]
        near_before = low[before] if trend > 0.0 else -high[before]
        if near <= stop:
            far_before = high[before] if trend > 0.0 else -low[before]
            trend = -trend
            near, far, near_before = -far, -near, -far_before
            stop = min(-extreme, near_before, near)
            extreme = far
            factor = acceleration
            line[t - origin] = trend * stop
        else:
            line[t - origin] = trend * stop
            if far > extreme:
                extreme = far
                factor = min(factor + acceleration, maximum)
        stop = min(stop + factor * (extreme - stop), near_before, near)
    state[at] = trend
    state[at + 1] = stop
    state[at + 2] = extreme
    state[at + 3] = factor
