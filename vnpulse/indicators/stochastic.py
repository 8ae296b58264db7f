"""Slow stochastic oscillator: the fast one's %K, smoothed.

    %K = SMA_slowk of the fast %K over ``fastk`` bars
    %D = SMA_slowd of %K

Source: G. Lane's stochastics; TA-Lib ``ta_STOCH.c`` with simple averages. Both outputs begin
together. One difference, that of ``fast_stochastic``: a flat series gives 50, not 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators import fast_stochastic, windows
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "stoch"
PARAMETERS = (
    _period(14, name="fastk"),
    _period(3, low=1, name="slowk"),
    _period(3, low=1, name="slowd"),
)


def names(fastk: int, slowk: int, slowd: int) -> tuple[str, str]:
    """Return the names of the outputs: ``stoch_14_3_3_k``, ``..._d``."""
    stem = f"stoch_{fastk}_{slowk}_{slowd}"
    return f"{stem}_k", f"{stem}_d"


def warm_up(fastk: int, slowk: int, slowd: int) -> tuple[int, int]:
    """Return how many bars the first values need."""
    return (fastk + slowk + slowd - 2,) * 2


def lookback(fastk: int, slowk: int, slowd: int) -> int:
    """Return how many bars before its own a value reads."""
    return fastk - 1


def state_size(fastk: int, slowk: int, slowd: int) -> int:
    """Return the size of: bars seen; the values of the fast %K and of %K that are needed again."""
    return slowk + slowd - 1


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
    fastk: int,
    slowk: int,
    slowd: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    # The past may have been cut shorter than the warm-up, so rows are counted from the first bar.
    seen = int(state[at])
    state[at] += last - first
    begin = min(max(first, first + fastk - 1 - seen), last)
    if last - begin == 1:
        percent = fast_stochastic.percent_k(bars, begin, fastk)
        percent = windows.smooth_one(state, at + 1, percent, slowk)
        out[column, begin - origin] = percent
        out[column + 1, begin - origin] = windows.smooth_one(state, at + slowk, percent, slowd)
    else:
        k = out[column][begin - origin : last - origin]
        d = out[column + 1][begin - origin : last - origin]
        # The fast %K waits in the row of %D.
        fast_stochastic.percents_k(bars, begin, last, fastk, d, k)
        windows.smooth(state, at + 1, d, slowk, k)
        windows.smooth(state, at + slowk, k, slowd, d)
    skipped = seen - first
    needed = fastk + slowk + slowd - 2
    windows.blank(out, column, 2, first + skipped, last + skipped, origin + skipped, needed)
