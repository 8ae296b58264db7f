from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import sma


@pytest.mark.parametrize("period", [2, 20, 63])
@pytest.mark.parametrize("ring", [64, 100])
def test_equals_talib_across_the_ring_seam(
    walk: Any, windowed: Any, assert_same: Any, period: int, ring: int
) -> None:
    _, _, close = walk(1, 400)
    assert_same(windowed(sma.value, close, ring, period), talib.SMA(close, period))


def test_a_flat_series_is_its_price_exactly(windowed: Any) -> None:
    flat = windowed(sma.value, np.full(50, 85.3), 64, 20)
    assert np.isnan(flat[: sma.warm_up(20) - 1]).all()
    assert (flat[sma.warm_up(20) - 1 :] == 85.3).all()


def test_name() -> None:
    assert sma.names(20) == ("sma_20",)
