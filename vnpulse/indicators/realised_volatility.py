"""Realised volatility of one bar: the root mean square of the last logarithmic returns.

    r[t]  = ln(close[t] / close[t-1])
    RV[t] = sqrt(mean(r[t-p+1 .. t]^2))

Source: T. Andersen, T. Bollerslev, F. Diebold and P. Labys, *Modeling and Forecasting Realized
Volatility*, Econometrica (2003), per bar. No TA-Lib counterpart; no mean is taken away, as none is
there. It is not annualised: multiply by the square root of the bars in a year (daily bars: about 250;
bars of a minute: about 250 * 225 in Vietnam). A flat series has 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "rv"
PARAMETERS = (_period(20),)


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``rv_20``."""
    return (f"rv_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs: ``period`` returns."""
    return (period + 1,)


def lookback(period: int) -> int:
    """Return 1: a return is from one bar to the next."""
    return 1


def state_size(period: int) -> int:
    """Return the size of: bars seen; the last squared returns, that of bar t at t modulo ``period``."""
    return 1 + period


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
    line = out[column]
    # Kept, because a logarithm costs more than everything else here.
    squares = state[at + 1 : at + 1 + period]
    seen = state[at]
    slot = int(seen) % period
    for t in range(first, last):
        # To and from a close of 0, a hole in a vendor's history, there is no return.
        change = math.log(close[t] / close[t - 1]) if seen > 0.0 and close[t] * close[t - 1] > 0.0 else 0.0
        squares[slot] = change * change
        seen += 1.0
        slot += 1
        # From the oldest to the newest, so that the slots do not show in the last bit.
        total = 0.0
        for k in range(slot, period):
            total += squares[k]
        for k in range(slot):
            total += squares[k]
        if slot == period:
            slot = 0
        line[t - origin] = math.sqrt(total / period) if seen > period else math.nan
    state[at] = seen
