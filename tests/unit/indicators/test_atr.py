from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import atr


@pytest.mark.parametrize("period", [2, 14, 100])
def test_equals_talib(walk: Any, recursive: Any, assert_same: Any, period: int) -> None:
    high, low, close = walk(7, 400)
    ours = recursive(atr.advance, atr.STATE_SIZE, (period,), high, low, close)
    assert_same(ours, talib.ATR(high, low, close, period))


def test_a_gap_between_bars_counts(recursive: Any) -> None:
    close = np.array([10.0, 10.0, 12.0])
    assert recursive(atr.advance, atr.STATE_SIZE, (2,), close, close, close)[-1, 0] == 1.0


def test_a_flat_series_has_no_range(recursive: Any) -> None:
    flat = np.full(30, 5.0)
    values = recursive(atr.advance, atr.STATE_SIZE, (14,), flat, flat, flat)[:, 0]
    first = atr.warm_up(14) - 1
    assert np.isnan(values[:first]).all()
    assert (values[first:] == 0.0).all()


def test_name() -> None:
    assert atr.names(14) == ("atr_14",)
