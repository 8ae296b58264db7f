"""Money flow index: a relative strength index of typical prices, weighted by volume.

    price[t] = high[t] + low[t] + close[t]   (three times the typical price)
    flow[t]  = price[t] * volume[t]
    MFI[t]   = 100 * sum(flow where price rose) / sum(flow where price rose or fell)   over p bars

Source: G. Quong and A. Soudack, *Volume-Weighted RSI: Money Flow*, Technical Analysis of Stocks &
Commodities (March 1989); TA-Lib ``ta_MFI.c``. As in TA-Lib since 0.8 a change that is only rounding,
below 1e-14 of the prices, is none. One difference: where no money flowed TA-Lib gives 0, the deepest
"oversold"; here it is 50, because that is neutral. And where TA-Lib adds to a running sum and takes
away from it, here each sum is taken anew, so that nothing drifts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, VOLUME
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "mfi"
PARAMETERS = (_period(14),)

NEUTRAL = 50.0
ROUNDING = 1e-14
"""TA-Lib's TA_EPSILON: a change below this share of the two prices' sum is none."""


def names(period: int) -> tuple[str]:
    """Return the name of the output: ``mfi_14``."""
    return (f"mfi_{period}",)


def warm_up(period: int) -> tuple[int]:
    """Return how many bars the first value needs: ``period`` changes of the price."""
    return (period + 1,)


def lookback(period: int) -> int:
    """Return 1: a flow has its direction from the bar before."""
    return 1


def state_size(period: int) -> int:
    """Return the size of: bars seen; the last ``period`` flows, that of bar t at t modulo ``period``."""
    return 1 + period


@compiled
def flow(price: float, before: float, volume: float) -> float:
    """Return the money that flowed at ``price``: negative after a fall, 0 without a change."""
    change = price - before
    money = price * volume
    if abs(change) <= ROUNDING * (price + before):
        return 0.0
    return money if change > 0.0 else -money


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
    high, low, close, volume = bars[HIGH], bars[LOW], bars[CLOSE], bars[VOLUME]
    line = out[column]
    flows = state[at + 1 : at + 1 + period]
    seen = state[at]
    slot = int(seen) % period
    for t in range(first, last):
        flows[slot] = 0.0
        if seen > 0.0:
            before = high[t - 1] + low[t - 1] + close[t - 1]
            flows[slot] = flow(high[t] + low[t] + close[t], before, volume[t])
        seen += 1.0
        slot += 1
        # From the oldest to the newest, so that the slots do not show in the last bit.
        inward = 0.0
        total = 0.0
        for k in range(slot, period):
            inward += max(flows[k], 0.0)
            total += abs(flows[k])
        for k in range(slot):
            inward += max(flows[k], 0.0)
            total += abs(flows[k])
        if slot == period:
            slot = 0
        if seen <= period:
            line[t - origin] = math.nan
        else:
            line[t - origin] = 100.0 * (inward / total) if total > 0.0 else NEUTRAL
    state[at] = seen
