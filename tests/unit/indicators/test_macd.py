from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import macd


@pytest.mark.parametrize("periods", [(12, 26, 9), (5, 35, 5), (2, 3, 2), (25, 26, 40)])
def test_equals_talib(walk: Any, recursive: Any, assert_same: Any, periods: tuple[int, int, int]) -> None:
    _, _, close = walk(4, 400)
    assert_same(recursive(macd.advance, macd.STATE_SIZE, periods, close), *talib.MACD(close, *periods))


def test_the_fast_average_is_not_the_plain_one_at_first(walk: Any, recursive: Any) -> None:
    """TA-Lib seeds it where the slow one starts; a difference of two EMAs misses that."""
    _, _, close = walk(5, 60)
    ours = recursive(macd.advance, macd.STATE_SIZE, (12, 26, 9), close)[:, 0]
    plain = talib.EMA(close, 12) - talib.EMA(close, 26)
    first = macd.warm_up(12, 26, 9) - 1
    assert np.flatnonzero(~np.isnan(ours))[0] == first == 33
    assert abs(ours[first] - plain[first]) > 1e-6


def test_a_flat_series_has_no_momentum(recursive: Any) -> None:
    values = recursive(macd.advance, macd.STATE_SIZE, (12, 26, 9), np.full(80, 10.0))
    assert np.abs(values[33:]).max() < 1e-12


def test_names() -> None:
    assert macd.names(12, 26, 9) == ("macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_hist")
