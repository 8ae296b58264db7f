"""Williams' %R: where the close is below the highest high, from 0 down to -100 at the lowest low.

    %R[t] = -100 * (highest - close[t]) / (highest - lowest),   of the last ``p`` bars

Which is the fast stochastic's %K - 100, and is computed so. Source: L. Williams, *How I Made One
Million Dollars* (1973); TA-Lib ``ta_WILLR.c``. One difference: where highest = lowest (a flat
series) TA-Lib gives 0, the utmost "overbought"; here it is -50, because a price that does not move
is neutral.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import fast_stochastic, windows
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "willr"
PARAMETERS = (_period(14),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``willr_14``."""
    return (f"willr_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs."""
    return (period,)


def lookback(period: int) -> int:
    """Return how many bars before its own a value reads."""
    return period - 1


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
    begin = windows.blank(out, column, 1, first, last, origin, period)
    while last - begin > windows.FEW:
        # Half of the rows at a time: the other half is a temporary meanwhile.
        end = begin + (last - begin) // 2
        line = out[column][begin - origin : end - origin]
        fast_stochastic.percents_k(bars, begin, end, period, line, out[column][end - origin : last - origin])
        for i in range(end - begin):
            line[i] -= 100.0
        begin = end
    for t in range(begin, last):
        out[column, t - origin] = fast_stochastic.percent_k(bars, t, period) - 100.0
