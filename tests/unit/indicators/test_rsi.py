from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import rsi
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("period", [2, 14, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    assert_same(compute(rsi, bars, period), talib.RSI(bars[CLOSE], period))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(rsi, walk(2, 60), 14)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(rsi, walk(3, 100), 14)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    assert (compute(rsi, flat(40), 14)[0, 14:] == 50.0).all()


def test_a_series_that_only_rises_is_at_100(flat: Any, compute: Any) -> None:
    bars = flat(40)
    bars[CLOSE] = range(1, 41)
    assert (compute(rsi, bars, 14)[0, 14:] == 100.0).all()


def test_name() -> None:
    assert rsi.names(14) == ("rsi_14",)
