"""Moving average convergence/divergence.

    macd[t]   = EMA_fast[t] - EMA_slow[t]
    signal[t] = EMA_signal of macd
    hist[t]   = macd[t] - signal[t]

Source: TA-Lib ``ta_MACD.c``. Both averages start at bar ``slow - 1``: the fast one is seeded with
the mean of the ``fast`` closes that end there, so until the seed fades it is not the plain EMA.
All three outputs begin together, when the signal line has its seed of ``signal`` values.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnpulse.indicators.columns import CLOSE
from vnpulse.indicators.compiled import compiled
from vnpulse.indicators.parameter import period as _period

KIND = "macd"
PARAMETERS = (_period(12, name="fast"), _period(26, name="slow"), _period(9, low=1, name="signal"))


def names(fast: int, slow: int, signal: int) -> tuple[str, str, str]:
    """Return the names of the outputs: ``macd_12_26_9``, ``..._signal``, ``..._hist``."""
    stem = f"macd_{fast}_{slow}_{signal}"
    return stem, f"{stem}_signal", f"{stem}_hist"


def warm_up(fast: int, slow: int, signal: int) -> tuple[int, int, int]:
    """Return how many bars the first values need. Raises ValueError unless ``fast`` < ``slow``."""
    if fast >= slow:
        raise ValueError(f"fast was {fast}, must be below slow ({slow})")
    return (slow + signal - 1,) * 3


def lookback(fast: int, slow: int, signal: int) -> int:
    """Return 0: the past is in the state."""
    return 0


def state_size(fast: int, slow: int, signal: int) -> int:
    """Return 4: bars seen; fast, slow and signal, each a sum while seeding, then an average."""
    return 4


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
    fast: int,
    slow: int,
    signal: int,
) -> None:
    """Compute rows ``first .. last - 1`` (see the package)."""
    closes = bars[CLOSE]
    fast_weight = 2.0 / (fast + 1.0)
    slow_weight = 2.0 / (slow + 1.0)
    signal_weight = 2.0 / (signal + 1.0)
    seen = state[at]
    fast_average = state[at + 1]
    slow_average = state[at + 2]
    signal_average = state[at + 3]
    for t in range(first, last):
        close = closes[t]
        seen += 1.0
        if seen > slow:
            fast_average += fast_weight * (close - fast_average)
            slow_average += slow_weight * (close - slow_average)
        else:
            if seen > slow - fast:
                fast_average += close
            slow_average += close
            if seen == slow:
                fast_average /= fast
                slow_average /= slow
        line = fast_average - slow_average
        lines_seen = seen - slow + 1.0
        if lines_seen > signal:
            signal_average += signal_weight * (line - signal_average)
        elif lines_seen > 0.0:
            signal_average += line
            if lines_seen == signal:
                signal_average /= signal
        ready = lines_seen >= signal
        out[column, t - origin] = line if ready else math.nan
        out[column + 1, t - origin] = signal_average if ready else math.nan
        out[column + 2, t - origin] = line - signal_average if ready else math.nan
    state[at] = seen
    state[at + 1] = fast_average
    state[at + 2] = slow_average
    state[at + 3] = signal_average
