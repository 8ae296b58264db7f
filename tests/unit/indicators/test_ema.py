from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import ema


@pytest.mark.parametrize("period", [2, 12, 26, 200])
def test_equals_talib(walk: Any, recursive: Any, assert_same: Any, period: int) -> None:
    _, _, close = walk(2, 500)
    assert_same(recursive(ema.advance, ema.STATE_SIZE, (period,), close), talib.EMA(close, period))


def test_first_value_comes_with_the_last_warm_up_bar(walk: Any, recursive: Any) -> None:
    _, _, close = walk(3, 40)
    values = recursive(ema.advance, ema.STATE_SIZE, (12,), close)[:, 0]
    assert np.flatnonzero(~np.isnan(values))[0] == ema.warm_up(12) - 1


def test_name() -> None:
    assert ema.names(12) == ("ema_12",)
