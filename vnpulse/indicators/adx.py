"""Average directional index: how strong a trend is, with the two directions it is made of.

    rise[t] = high[t] - high[t-1],   fall[t] = low[t-1] - low[t]
    +DM = rise if rise > fall and rise > 0 else 0,   -DM = fall if fall > rise and fall > 0 else 0
    S[p-1] = sum(x[1 .. p-1]),   S[t] = S[t-1] - S[t-1] / p + x[t]   for +DM, -DM and the true range
    +DI[t] = 100 * S(+DM)[t] / S(TR)[t],   -DI likewise,   from bar p on
    DX[t] = 100 * |+DI - -DI| / (+DI + -DI)
    ADX[2p-1] = mean(DX[p .. 2p-1]),   ADX[t] = ADX[t-1] + (DX[t] - ADX[t-1]) / p

Source: J. W. Wilder, *New Concepts in Technical Trading Systems* (1978); TA-Lib ``ta_ADX.c``,
``ta_PLUS_DI.c``, ``ta_MINUS_DI.c``, without Wilder's rounding to whole numbers. While a price stands
still, moves and ranges fade alike, and the three values stay what they were. One difference: once
the range or the sum of the directions is below 1e-14, after hundreds of bars without a move, there
is no direction; here DX is then 0 and the ADX fades, where TA-Lib leaves it standing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import atr
from vnpulse.indicators.columns import CLOSE, HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "adx"
PARAMETERS = (_period(14),)

FLAT = 1e-14
"""TA-Lib's TA_EPSILON: a range or a sum of directions below this is none."""


def names(period: int) -> tuple[str, str, str]:
    """Return the names of the outputs: ``adx_14``, ``..._plus_di``, ``..._minus_di``."""
    stem = f"adx_{period}"
    return stem, f"{stem}_plus_di", f"{stem}_minus_di"


def warm_up(period: int) -> tuple[int, int, int]:
    """Return how many bars the first values need: the index averages ``period`` values of its own."""
    return 2 * period, period + 1, period + 1


def lookback(period: int) -> int:
    """Return 1: a move is from one bar to the next."""
    return 1


def state_size(period: int) -> int:
    """Return 5: bars seen; smoothed rises, falls and ranges; the index (the sum of DX while seeding)."""
    return 5


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
    high, low, close = bars[HIGH], bars[LOW], bars[CLOSE]
    share = 1.0 / period
    seen = state[at]
    rises = state[at + 1]
    falls = state[at + 2]
    ranges = state[at + 3]
    index = state[at + 4]
    for t in range(first, last):
        seen += 1.0
        if seen > 1.0:
            rise = high[t] - high[t - 1]
            fall = low[t - 1] - low[t]
            keep = 1.0 - share if seen > period else 1.0
            rises = rises * keep + (max(rise, 0.0) if rise > fall else 0.0)
            falls = falls * keep + (max(fall, 0.0) if fall > rise else 0.0)
            ranges = ranges * keep + atr.true_range(high[t], low[t], close[t - 1])
        plus = math.nan
        minus = math.nan
        if seen > period:
            moved = ranges >= FLAT
            plus = 100.0 * (rises / ranges) if moved else 0.0
            minus = 100.0 * (falls / ranges) if moved else 0.0
            total = plus + minus
            directed = 100.0 * (abs(plus - minus) / total) if total >= FLAT else 0.0
            if seen > 2.0 * period:
                index += (directed - index) * share
            else:
                index += directed
                if seen == 2.0 * period:
                    index /= period
        out[column, t - origin] = index if seen >= 2.0 * period else math.nan
        out[column + 1, t - origin] = plus
        out[column + 2, t - origin] = minus
    state[at] = seen
    state[at + 1] = rises
    state[at + 2] = falls
    state[at + 3] = ranges
    state[at + 4] = index
