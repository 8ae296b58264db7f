"""Normalised average true range: the average true range in percent of the close.

    NATR[t] = 100 * ATR[t] / close[t]

Source: J. Forman, *Cross-Market Evaluations With Normalized Average True Range*, Technical Analysis
of Stocks & Commodities (May 2006); TA-Lib ``ta_NATR.c``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import atr
from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "natr"
PARAMETERS = (_period(14),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``natr_14``."""
    return (f"natr_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs."""
    return atr.warm_up(period)


def lookback(period: int) -> int:
    """Return how many bars before its own a value reads."""
    return atr.lookback(period)


def state_size(period: int) -> int:
    """Return the size of the average true range's state."""
    return atr.state_size(period)


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
    atr.run(bars, first, last, state, at, out, column, origin, period)
    close = bars[CLOSE][first:last]
    line = out[column][first - origin : last - origin]
    for i in range(last - first):
        # A close of 0 is a hole in a vendor's history; TA-Lib says 0 as well.
        line[i] = 100.0 * (line[i] / close[i]) if close[i] != 0.0 else 0.0 * line[i]
