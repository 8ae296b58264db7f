"""Seeded random walks on a tick grid, and how to run one indicator over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vnpulse.indicators.columns import BAR_ROWS

Array = NDArray[np.float64]

OPENING_MS = 1_753_668_000_000
"""2025-07-28 09:00 in Vietnam."""


def _walk(seed: int, bars: int, flat_share: float = 0.3, step_ms: int = 60_000) -> Array:
    """Return bars [6, n] in thousand VND on a tick of 0.05; many bars do not move."""
    rng = np.random.default_rng(seed)
    ticks = rng.integers(-4, 5, bars) * (rng.random(bars) >= flat_share)
    close = np.maximum(25.0 + 0.05 * np.cumsum(ticks), 1.0)
    opened = np.concatenate(([close[0]], close[:-1]))
    high = np.maximum(opened, close) + 0.05 * rng.integers(0, 3, bars)
    low = np.minimum(opened, close) - 0.05 * rng.integers(0, 3, bars)
    volume = 100.0 * rng.integers(0, 500, bars)
    time = OPENING_MS + step_ms * np.arange(bars, dtype=np.float64)
    return np.stack((opened, high, low, close, volume, time))


def _flat(bars: int, price: float = 5.0, volume: float = 100.0, step_ms: int = 60_000) -> Array:
    made = np.full((BAR_ROWS, bars), price)
    made[4] = volume
    made[5] = OPENING_MS + step_ms * np.arange(bars)
    return made


def _compute(indicator: ModuleType, bars: Array, *parameters: float, cuts: Sequence[int] = ()) -> Array:
    """Run ``indicator`` over ``bars``, in runs that end at each of ``cuts``; outputs [outputs, bars]."""
    size = indicator.state_size(*parameters)
    outputs = len(indicator.names(*parameters))
    n = bars.shape[1]
    # State and outputs sit between canaries: an indicator touches its own floats only.
    state = np.zeros(size + 2)
    state[0] = state[-1] = 77.0
    out = np.full((outputs + 2, n), 77.0)
    lookback = indicator.lookback(*parameters)
    ends = sorted({*(cut for cut in cuts if 0 < cut < n), n})
    for number, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        # Every other run sees a past that was cut to what the indicator says it needs.
        drop = max(0, begin - lookback) if number % 2 else 0
        made = np.full((outputs + 2, end - begin), 77.0)
        indicator.run(
            np.ascontiguousarray(bars[:, drop:end]), begin - drop, end - drop,
            state, 1, made, 1, begin - drop, *parameters,
        )  # fmt: skip
        out[:, begin:end] = made
    assert state[0] == state[-1] == 77.0
    assert (out[0] == 77.0).all()
    assert (out[-1] == 77.0).all()
    return out[1:-1]


def _assert_same(ours: Array, *theirs: Array) -> None:
    assert len(ours) == len(theirs)
    for mine, expected in zip(ours, theirs, strict=True):
        # Differences of averages pass through zero, hence the absolute part: 1e-10 of a price near 25.
        np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=2.5e-9)


def _assert_begins(indicator: ModuleType, bars: Array, *parameters: float) -> None:
    ours = _compute(indicator, bars, *parameters)
    for line, first in zip(ours, indicator.warm_up(*parameters), strict=True):
        assert np.isnan(line[: first - 1]).all()
        assert not np.isnan(line[first - 1 :]).any()


def _assert_cuts_do_not_matter(indicator: ModuleType, bars: Array, *parameters: float) -> None:
    whole = _compute(indicator, bars, *parameters)
    n = bars.shape[1]
    rng = np.random.default_rng(n)
    for cuts in (range(1, n), rng.integers(1, n, 7).tolist(), [n // 2]):
        assert _compute(indicator, bars, *parameters, cuts=cuts).tobytes() == whole.tobytes()


@pytest.fixture(scope="session")
def walk() -> Callable[..., Array]:
    return _walk


@pytest.fixture(scope="session")
def flat() -> Callable[..., Array]:
    return _flat


@pytest.fixture(scope="session")
def compute() -> Callable[..., Array]:
    return _compute


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., None]:
    """First values at the same bar (NaN must match NaN), then equal to 1e-9."""
    return _assert_same


@pytest.fixture(scope="session")
def assert_begins() -> Callable[..., None]:
    """Each output has its first value at the bar that ``warm_up`` says, and from there on always one."""
    return _assert_begins


@pytest.fixture(scope="session")
def assert_cuts_do_not_matter() -> Callable[..., Any]:
    """Bar by bar, in random runs and in one run: the same bits."""
    return _assert_cuts_do_not_matter
