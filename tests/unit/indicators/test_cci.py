from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import cci
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize("period", [2, 3, 20, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    expected = talib.CCI(bars[HIGH], bars[LOW], bars[CLOSE], period)
    # Where the typical price does not move TA-Lib may divide rounding errors.
    price = bars[HIGH] + bars[LOW] + bars[CLOSE]
    same = ~(talib.MAX(price, period) - talib.MIN(price, period) < 1e-9)
    assert_same(compute(cci, bars, period)[:, same], expected[same])


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(cci, walk(2, 60), 20)


@pytest.mark.parametrize("period", [2, 20])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, period: int) -> None:
    assert_cuts_do_not_matter(cci, walk(3, 100), period)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    assert (compute(cci, flat(40, 0.1), 20)[0, 19:] == 0.0).all()


def test_bars_around_one_typical_price_are_neutral(flat: Any, compute: Any) -> None:
    # 10.2 + 9.9 + 10.1 and 10.2 + 10.0 + 10.0 differ in the last bit.
    bars = flat(40)
    bars[HIGH], bars[LOW], bars[CLOSE] = 10.2, 9.9, 10.1
    bars[HIGH, ::3], bars[LOW, ::3], bars[CLOSE, ::3] = 10.2, 10.0, 10.0
    assert len(set(bars[HIGH] + bars[LOW] + bars[CLOSE])) == 2
    assert (compute(cci, bars, 20)[0, 19:] == 0.0).all()


def test_one_move_after_a_flat_series(flat: Any, compute: Any) -> None:
    # The last of p prices moved by m: it is m (p - 1) / p from the average, and the mean deviation
    # is 2 m (p - 1) / p^2.
    bars = flat(20, 10.0)
    bars[:4, 19] = 10.05
    np.testing.assert_allclose(compute(cci, bars, 20)[0, 19], 20 / (2 * 0.015), rtol=1e-9)


def test_name() -> None:
    assert cci.names(20) == ("cci_20",)
