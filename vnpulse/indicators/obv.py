"""On-balance volume: volume added where the close rose, taken away where it fell.

    OBV[0] = volume[0]
    OBV[t] = OBV[t-1] + volume[t] * sign(close[t] - close[t-1])

Source: J. Granville, *Granville's New Key to Stock Market Profits* (1963); TA-Lib ``ta_OBV.c``. Only
its changes mean something: its level depends on where the series begins. A flat series does not
change it. Sums of whole shares are exact (below 2^53).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, VOLUME
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter

KIND = "obv"
PARAMETERS: tuple[Parameter, ...] = ()


def names() -> tuple[str]:
    """Return the name of the output: ``obv``."""
    return ("obv",)


def warm_up() -> tuple[int]:
    """Return how many bars the first value needs."""
    return (1,)


def lookback() -> int:
    """Return 1: volume counts by the change of the close."""
    return 1


def state_size() -> int:
    """Return 1: the balance."""
    return 1


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
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    close, volume = bars[CLOSE], bars[VOLUME]
    line = out[column]
    balance = state[at]
    begin = first
    if first == 0:
        balance = volume[0]
        line[-origin] = balance
        begin = 1
    for t in range(begin, last):
        # Choices of values, not branches, nor values read in branches: which way a price moves cannot
        # be predicted.
        traded = volume[t]
        change = close[t] - close[t - 1]
        fallen = -traded if change < 0.0 else 0.0
        balance += traded if change > 0.0 else fallen
        line[t - origin] = balance
    state[at] = balance
