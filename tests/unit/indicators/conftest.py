"""Seeded random walks on a tick grid, and how to run an indicator over them bar by bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _walk(seed: int, bars: int, flat_share: float = 0.3) -> tuple[Array, Array, Array]:
    """Return high, low, close [bars] in thousand VND on a tick of 0.05; many bars do not move."""
    rng = np.random.default_rng(seed)
    ticks = rng.integers(-4, 5, bars) * (rng.random(bars) >= flat_share)
    close = np.maximum(25.0 + 0.05 * np.cumsum(ticks), 1.0)
    opened = np.concatenate(([close[0]], close[:-1]))
    high = np.maximum(opened, close) + 0.05 * rng.integers(0, 3, bars)
    low = np.minimum(opened, close) - 0.05 * rng.integers(0, 3, bars)
    return high, low, close


def _windowed(value: Callable[..., Any], closes: Array, ring: int, *parameters: float) -> Array:
    """Run a windowed indicator over ``closes`` through a ring of ``ring`` bars; [bars, outputs]."""
    held = np.full(ring, np.nan)
    rows = []
    for i, close in enumerate(closes):
        held[i % ring] = close
        rows.append(value(held, i % ring, i + 1, *parameters))
    return np.array(rows, dtype=np.float64).reshape(len(closes), -1)


def _recursive(advance: Callable[..., Any], size: int, parameters: tuple[int, ...], *columns: Array) -> Array:
    """Run a recursive indicator over ``columns`` [bars] from an empty state; [bars, outputs]."""
    # The state sits between canaries: an indicator touches its own floats only.
    state = np.zeros(size + 2)
    state[0] = state[-1] = 77.0
    rows = [advance(state, 1, *parameters, *map(float, bar)) for bar in zip(*columns, strict=True)]
    assert state[0] == state[-1] == 77.0
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def _assert_same(ours: Array, *theirs: Array) -> None:
    for column, expected in enumerate(theirs):
        # Differences of averages pass through zero, hence the absolute part: 1e-10 of a price near 25.
        np.testing.assert_allclose(ours[:, column], expected, rtol=1e-9, atol=2.5e-9)


@pytest.fixture(scope="session")
def walk() -> Callable[..., tuple[Array, Array, Array]]:
    return _walk


@pytest.fixture(scope="session")
def windowed() -> Callable[..., Array]:
    return _windowed


@pytest.fixture(scope="session")
def recursive() -> Callable[..., Array]:
    return _recursive


@pytest.fixture(scope="session")
def assert_same() -> Callable[..., None]:
    """First values at the same bar (NaN must match NaN), then equal to 1e-9."""
    return _assert_same
