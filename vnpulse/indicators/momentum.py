"""Momentum: the change of the close over ``period`` bars, in the unit of the price.

    MOM[t] = close[t] - close[t-p]

Source: TA-Lib ``ta_MOM.c``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "mom"
PARAMETERS = (_period(10, low=1),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``mom_10``."""
    return (f"mom_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs."""
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
    begin = windows.not_ready(out[column][first - origin : last - origin], first, last, period + 1)
    line = out[column][begin - origin : last - origin]
    now = bars[CLOSE][begin:last]
    then = bars[CLOSE][begin - period : last - period]
    for i in range(last - begin):
        line[i] = now[i] - then[i]
