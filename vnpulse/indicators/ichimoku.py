"""Ichimoku kinko hyo, the lines that the chart shows at a bar.

    middle(p)[t] = (max(high[t-p+1 .. t]) + min(low[t-p+1 .. t])) / 2
    tenkan[t] = middle(tenkan)[t],   kijun[t] = middle(kijun)[t]
    span_a[t] = (tenkan[t-kijun] + kijun[t-kijun]) / 2
    span_b[t] = middle(senkou)[t-kijun]

Source: G. Hosoda, *Ichimoku Kinko Hyo* (1969). No TA-Lib counterpart but MIDPRICE, which is the
middle. Both spans are those in force: the cloud that is drawn over bar t was computed ``kijun``
bars before it, and the price is compared with that one. (Some charts count the current bar and
shift by one less.) The fifth line, chikou, is left out: it is the close itself, drawn ``kijun`` bars
earlier, and at bar t it says nothing that the closes do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import windows
from vnpulse.indicators.columns import HIGH, LOW
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "ichimoku"
PARAMETERS = (_period(9, name="tenkan"), _period(26, name="kijun"), _period(52, name="senkou"))


def names(tenkan: int, kijun: int, senkou: int) -> tuple[str, str, str, str]:
    """Return the names of the outputs: ``ichimoku_9_26_52_tenkan``, ``..._kijun`` and so on."""
    stem = f"ichimoku_{tenkan}_{kijun}_{senkou}"
    return f"{stem}_tenkan", f"{stem}_kijun", f"{stem}_span_a", f"{stem}_span_b"


def warm_up(tenkan: int, kijun: int, senkou: int) -> tuple[int, int, int, int]:
    """Return how many bars the first values need. Raises ValueError unless the periods increase."""
    if not tenkan < kijun < senkou:
        raise ValueError(f"periods were {tenkan}, {kijun}, {senkou}, must increase")
    return tenkan, kijun, kijun + kijun, kijun + senkou


def lookback(tenkan: int, kijun: int, senkou: int) -> int:
    """Return how many bars before its own a value reads."""
    return kijun + senkou - 1


def state_size(tenkan: int, kijun: int, senkou: int) -> int:
    """Return 0: windows need no state."""
    return 0


@compiled
def _middle(bars: NDArray[np.float64], row: int, period: int) -> float:
    highest, lowest = windows.extremes(bars, row, period)
    return (highest + lowest) / 2.0


@compiled
def _middles(
    bars: NDArray[np.float64],
    first: int,
    last: int,
    out: NDArray[np.float64],
    column: int,
    spare: int,
    origin: int,
    period: int,
    shift: int,
) -> None:
    """Fill ``column`` with the middles of ``shift`` bars earlier; the column ``spare`` is a temporary."""
    begin = windows.blank(out, column, 1, first, last, origin, period + shift)
    if last - begin == 1:
        out[column, begin - origin] = _middle(bars, begin - shift, period)
        return
    line = out[column][begin - origin : last - origin]
    lowest = out[spare][begin - origin : last - origin]
    windows.highest(bars[HIGH], begin - shift, last - shift, period, line)
    windows.lowest(bars[LOW], begin - shift, last - shift, period, lowest)
    for i in range(last - begin):
        line[i] = (line[i] + lowest[i]) / 2.0


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
    tenkan: int,
    kijun: int,
    senkou: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    span_a = column + 2
    _middles(bars, first, last, out, column, span_a, origin, tenkan, 0)
    _middles(bars, first, last, out, column + 1, span_a, origin, kijun, 0)
    _middles(bars, first, last, out, column + 3, span_a, origin, senkou, kijun)
    begin = windows.blank(out, span_a, 1, first, last, origin, kijun + kijun)
    # The lines of ``kijun`` bars earlier are among this run's rows or are computed again.
    known = min(max(begin, first + kijun), last)
    for t in range(begin, known):
        fast = _middle(bars, t - kijun, tenkan)
        out[span_a, t - origin] = (fast + _middle(bars, t - kijun, kijun)) / 2.0
    if known < last:
        line = out[span_a][known - origin : last - origin]
        fasts = out[column][known - kijun - origin : last - kijun - origin]
        slows = out[column + 1][known - kijun - origin : last - kijun - origin]
        for i in range(last - known):
            line[i] = (fasts[i] + slows[i]) / 2.0
