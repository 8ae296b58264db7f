"""Stochastic RSI: where the RSI is between its lowest and its highest.

    %K[t] = 100 * (RSI[t] - lowest) / (highest - lowest),   of the last ``fastk`` RSI_period
    %D    = SMA_fastd of %K

Source: T. Chande and S. Kroll, *The New Technical Trader* (1994); TA-Lib ``ta_STOCHRSI.c`` with a
simple average. Both outputs begin together. One difference: where the RSI does not move (a flat
series, or one that only rises) TA-Lib gives 0, or divides one rounding error by another, which may
be any number from 0 to 100; here a range below FLAT gives %K = 50. That of ``rsi``, a neutral 50
after a long time without a move, shows here too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import rsi, windows
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.fast_stochastic import NEUTRAL, percent_of_range
from vnpulse.indicators.parameter import period as _period

KIND = "stochrsi"
PARAMETERS = (_period(14), _period(14, name="fastk"), _period(3, low=1, name="fastd"))

FLAT = 1e-9
"""A range of the RSI, in its points from 0 to 100, below which it is rounding error."""

_RSI_STATE = rsi.state_size(0)


def names(period: int, fastk: int, fastd: int) -> tuple[str, str]:
    """Return the names of the outputs: ``stochrsi_14_14_3_k``, ``..._d``."""
    stem = f"stochrsi_{period}_{fastk}_{fastd}"
    return f"{stem}_k", f"{stem}_d"


def warm_up(period: int, fastk: int, fastd: int) -> tuple[int, int]:
    """Return how many bars the first values need."""
    return (period + fastk + fastd - 1,) * 2


def lookback(period: int, fastk: int, fastd: int) -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size(period: int, fastk: int, fastd: int) -> int:
    """Return the size of: the RSI's state; the values of it and of %K that are needed again."""
    return _RSI_STATE + fastk + fastd - 2


@compiled
def _percent_of_range(value: float, low: float, high: float) -> float:
    return percent_of_range(value, low, high) if high - low >= FLAT else NEUTRAL


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
    fastk: int,
    fastd: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    rsi_at = at + _RSI_STATE
    k_at = rsi_at + fastk - 1
    begin = first
    while begin < last:
        # Half of the rows at a time: the other half is a temporary meanwhile.
        end = begin + ((last - begin) // 2 if last - begin > windows.FEW else 1)
        seen = int(state[at])
        # The RSI comes into the row of %K.
        rsi.run(bars, begin, end, state, at, out, column, origin, period)
        ready = min(max(begin, begin + period - seen), end)
        if end - ready == 1:
            strength = out[column, ready - origin]
            highest, lowest = windows.extremes_after_one(state, rsi_at, strength, fastk)
            windows.remember_one(state, rsi_at, strength, fastk)
            percent = _percent_of_range(strength, lowest, highest)
            out[column, ready - origin] = percent
            out[column + 1, ready - origin] = windows.smooth_one(state, k_at, percent, fastd)
        else:
            k = out[column][ready - origin : end - origin]
            d = out[column + 1][ready - origin : end - origin]
            low = out[column + 1][end - origin : last - origin]
            windows.extremes_after(state, rsi_at, k, fastk, d, low)
            windows.remember(state, rsi_at, k, fastk)
            for i in range(end - ready):
                k[i] = _percent_of_range(k[i], low[i], d[i])
            windows.smooth(state, k_at, k, fastd, d)
        skipped = seen - begin
        needed = period + fastk + fastd - 1
        windows.blank(out, column, 2, begin + skipped, end + skipped, origin + skipped, needed)
        begin = end
