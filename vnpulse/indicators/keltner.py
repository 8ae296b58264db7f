"""Keltner channel: bands around an exponential average, as wide as bars are long.

    middle[t] = EMA_period of close
    upper, lower = middle +- multiplier * ATR_atr_period

Source: C. W. Keltner, *How to Make Money in Commodities* (1960), in L. B. Raschke's form with an
exponential average and the average true range, as StockCharts and TradingView document it. TA-Lib
has none. The averages are those of ``ema`` and ``atr``, seeded as TA-Lib seeds them: TradingView's
ATR counts high - low of the very first bar as a true range, so until that fades its bands differ.
The bands of a flat series lie on its price.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import atr, ema
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter
from vnpulse.indicators.parameter import period as _period

KIND = "keltner"
PARAMETERS = (
    _period(20),
    _period(10, name="atr_period"),
    Parameter("multiplier", 2.0, 0.1, 10.0, whole=False),
)

EMA_STATE = ema.state_size(20)
"""Where the average true range's state begins: after the exponential average's, of one size for all."""


def names(period: int, atr_period: int, multiplier: float) -> tuple[str, str, str]:
    """Return the names of the outputs: ``keltner_20_10_2_upper``, ``..._middle``, ``..._lower``."""
    stem = f"keltner_{period}_{atr_period}_{multiplier:g}"
    return f"{stem}_upper", f"{stem}_middle", f"{stem}_lower"


def warm_up(period: int, atr_period: int, multiplier: float) -> tuple[int, int, int]:
    """Return how many bars the first values need: the middle does not wait for the width."""
    (middle,), (width,) = ema.warm_up(period), atr.warm_up(atr_period)
    return max(middle, width), middle, max(middle, width)


def lookback(period: int, atr_period: int, multiplier: float) -> int:
    """Return how many bars before its own a value reads."""
    return max(ema.lookback(period), atr.lookback(atr_period))


def state_size(period: int, atr_period: int, multiplier: float) -> int:
    """Return the size of both averages' states."""
    return EMA_STATE + atr.state_size(atr_period)


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
    atr_period: int,
    multiplier: float,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    atr.run(bars, first, last, state, at + EMA_STATE, out, column, origin, atr_period)
    ema.run(bars, first, last, state, at, out, column + 1, origin, period)
    upper = out[column][first - origin : last - origin]
    middle = out[column + 1][first - origin : last - origin]
    lower = out[column + 2][first - origin : last - origin]
    for i in range(last - first):
        # A band is NaN while either average is.
        width = multiplier * upper[i]
        upper[i] = middle[i] + width
        lower[i] = middle[i] - width
