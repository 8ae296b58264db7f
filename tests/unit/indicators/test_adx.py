from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import adx
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN


def expected(bars: Any, period: int) -> tuple[Any, Any, Any]:
    prices = bars[HIGH], bars[LOW], bars[CLOSE]
    return talib.ADX(*prices, period), talib.PLUS_DI(*prices, period), talib.MINUS_DI(*prices, period)


@pytest.mark.parametrize("period", [2, 14, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(7, 400)
    assert_same(compute(adx, bars, period), *expected(bars, period))


def test_equals_talib_after_a_flat_beginning_and_a_pause(walk: Any, compute: Any, assert_same: Any) -> None:
    bars = walk(8, 400)
    bars[OPEN : CLOSE + 1, :60] = 25.0
    bars[OPEN : CLOSE + 1, 200:300] = bars[CLOSE, 199]
    assert_same(compute(adx, bars, 14), *expected(bars, 14))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(adx, walk(2, 60), 14)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(adx, walk(3, 100), 14)


def test_a_series_that_only_rises_has_one_direction(flat: Any, compute: Any) -> None:
    bars = flat(60)
    bars[OPEN : CLOSE + 1] = 5.0 + np.arange(60)
    index, plus, minus = compute(adx, bars, 14)[:, 27:]
    np.testing.assert_allclose(index, 100.0, rtol=1e-12)
    np.testing.assert_allclose(plus, 100.0, rtol=1e-12)
    assert (minus == 0.0).all()


def test_a_flat_series_has_no_direction(flat: Any, compute: Any) -> None:
    index, plus, minus = compute(adx, flat(60), 14)
    assert (index[27:] == 0.0).all()
    assert (plus[14:] == 0.0).all()
    assert (minus[14:] == 0.0).all()


def test_a_price_that_stands_still_keeps_its_trend_for_a_while_and_then_has_none(
    walk: Any, compute: Any
) -> None:
    bars = walk(8, 1000)
    bars[OPEN : CLOSE + 1, 100:] = bars[CLOSE, 99]
    index, plus, minus = compute(adx, bars, 14)
    np.testing.assert_allclose(plus[101:400], plus[100], rtol=1e-9)
    assert index[400] > 10.0
    assert plus[600] == minus[600] == 0.0
    # Here TA-Lib would have index[400] for ever.
    assert index[-1] < 1e-6


def test_names() -> None:
    assert adx.names(14) == ("adx_14", "adx_14_plus_di", "adx_14_minus_di")
