"""Commodity channel index: how far the typical price is from its average, in mean deviations.

    price     = (high + low + close) / 3
    CCI[t]    = (price[t] - average) / (0.015 * deviation)
    average   = mean(price[t-p+1 .. t]),   deviation = mean(|price[t-p+1 .. t] - average|)

Source: D. Lambert, *Commodity Channel Index* (Commodities, October 1980); TA-Lib ``ta_CCI.c``.
Where the deviation is below FLAT of the price, thus rounding error, the CCI is 0: a price that does
not move is neutral. So says TA-Lib of a deviation of 0; one rounding error divided by another
it takes for a signal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import CLOSE, HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "cci"
PARAMETERS = (_period(20),)

SCALE = 0.015
"""Lambert's constant: most values then lie between -100 and 100."""
FLAT = 1e-12


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``cci_20``."""
    return (f"cci_{period}",)


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
def _in_deviations(price: float, average: float, deviation: float) -> float:
    return (price - average) / (SCALE * deviation) if deviation > FLAT * price else 0.0


# Prices in what follows are three times the typical ones, which makes no difference to a ratio of them.


@compiled
def _index(bars: NDArray[np.float64], row: int, period: int) -> float:
    """Return the CCI of one row."""
    high = bars[HIGH][row - period + 1 : row + 1]
    low = bars[LOW][row - period + 1 : row + 1]
    close = bars[CLOSE][row - period + 1 : row + 1]
    price = high[period - 1] + low[period - 1] + close[period - 1]
    total = 0.0
    for k in range(period - 1):
        total += high[k] + low[k] + close[k] - price
    average = price + total / period
    total = abs(price - average)
    for k in range(period - 1):
        total += abs(high[k] + low[k] + close[k] - average)
    return _in_deviations(price, average, total / period)


@compiled
def _indexes(
    bars: NDArray[np.float64],
    first: int,
    last: int,
    period: int,
    line: NDArray[np.float64],
    spare: NDArray[np.float64],
) -> None:
    """Compute the CCI of rows ``first .. last - 1`` into ``line``; ``spare`` is a temporary."""
    high, low, close = bars[HIGH][first:last], bars[LOW][first:last], bars[CLOSE][first:last]
    for i in range(last - first):
        spare[i] = high[i] + low[i] + close[i]
        line[i] = 0.0
    for j in range(period - 1, 0, -1):
        high, low = bars[HIGH][first - j : last - j], bars[LOW][first - j : last - j]
        close = bars[CLOSE][first - j : last - j]
        for i in range(last - first):
            line[i] += high[i] + low[i] + close[i] - spare[i]
    for i in range(last - first):
        line[i] = spare[i] + line[i] / period
        spare[i] = abs(spare[i] - line[i])
    for j in range(period - 1, 0, -1):
        high, low = bars[HIGH][first - j : last - j], bars[LOW][first - j : last - j]
        close = bars[CLOSE][first - j : last - j]
        for i in range(last - first):
            spare[i] += abs(high[i] + low[i] + close[i] - line[i])
    high, low, close = bars[HIGH][first:last], bars[LOW][first:last], bars[CLOSE][first:last]
    for i in range(last - first):
        line[i] = _in_deviations(high[i] + low[i] + close[i], line[i], spare[i] / period)


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
        _indexes(
            bars,
            begin,
            end,
            period,
            out[column][begin - origin : end - origin],
            out[column][end - origin : last - origin],
        )
        begin = end
    for t in range(begin, last):
        out[column, t - origin] = _index(bars, t, period)
