from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import rsi


@pytest.mark.parametrize("period", [2, 14, 50])
def test_equals_talib(walk: Any, recursive: Any, assert_same: Any, period: int) -> None:
    _, _, close = walk(6, 400, 0.2)
    expected = talib.RSI(close, period)
    # A short period may see only flat bars: neutral here, 0 there.
    ours = recursive(rsi.advance, rsi.STATE_SIZE, (period,), close)
    flat = (expected == 0.0) & (ours[:, 0] == rsi.NEUTRAL)
    assert flat.mean() < 0.1
    assert_same(ours, np.where(flat, rsi.NEUTRAL, expected))


def test_a_flat_series_is_neutral_where_talib_calls_it_oversold(recursive: Any) -> None:
    close = np.full(40, 12.3)
    values = recursive(rsi.advance, rsi.STATE_SIZE, (14,), close)[:, 0]
    first = rsi.warm_up(14) - 1
    assert np.isnan(values[:first]).all()
    assert (values[first:] == 50.0).all()
    assert (talib.RSI(close, 14)[first:] == 0.0).all()


def test_only_gains_is_100_and_only_losses_is_0(recursive: Any) -> None:
    rising = np.arange(1.0, 41.0)
    assert recursive(rsi.advance, rsi.STATE_SIZE, (14,), rising)[-1, 0] == 100.0
    assert recursive(rsi.advance, rsi.STATE_SIZE, (14,), rising[::-1])[-1, 0] == 0.0


def test_name() -> None:
    assert rsi.names(14) == ("rsi_14",)
