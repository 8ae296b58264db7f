"""Volume-weighted average price of the trading day so far, and how far the close is from it.

    typical[t] = (high[t] + low[t] + close[t]) / 3
    vwap[t]    = sum(typical * volume) / sum(volume)   over the bars of the day up to t
    vwap_distance[t] = close[t] / vwap[t] - 1

Source: S. Berkowitz, D. Logue and E. Noser, *The Total Cost of Transactions on the NYSE*, Journal of
Finance (1988), of bars instead of trades, as StockCharts and TradingView document it. TA-Lib has
none. A day is a calendar day in Vietnam; while it has no volume yet, its average is the typical price
of the bar. Of daily bars the average is each bar's typical price. It is carried as an average, moved
by each bar's share of the volume, so the average of a day at one price is that price exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, TIME, VOLUME
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import Parameter
from vnpulse.messages import DAY_MS, ZONE_MS

KIND = "vwap"
PARAMETERS: tuple[Parameter, ...] = ()


def names() -> tuple[str, str]:
    """Return the names of the outputs."""
    return "vwap", "vwap_distance"


def warm_up() -> tuple[int, int]:
    """Return how many bars the first values need."""
    return 1, 1


def lookback() -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size() -> int:
    """Return 3: the day; its volume so far; its average so far."""
    return 3


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
    high, low, close, volume, time = bars[HIGH], bars[LOW], bars[CLOSE], bars[VOLUME], bars[TIME]
    line, distances = out[column], out[column + 1]
    day = state[at]
    total = state[at + 1]
    average = state[at + 2]
    for t in range(first, last):
        # int(), not // nor floor: the one takes a call here, the other is not there on CUDA.
        today = float(int((time[t] + ZONE_MS) / DAY_MS))
        if today != day:
            day = today
            total = 0.0
        # Written so that a bar of one price has exactly that as its typical price.
        typical = close[t] + ((high[t] - close[t]) + (low[t] - close[t])) / 3.0
        if total == 0.0:
            total = volume[t]
            average = typical
        else:
            total += volume[t]
            average += (typical - average) * (volume[t] / total)
        line[t - origin] = average
        distances[t - origin] = close[t] / average - 1.0
    state[at] = day
    state[at + 1] = total
    state[at + 2] = average
