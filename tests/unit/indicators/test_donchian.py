from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import donchian
from vnpulse.indicators.columns import HIGH, LOW


@pytest.mark.parametrize("period", [2, 10, 11, 20, 100, 300])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    assert_same(
        compute(donchian, bars, period),
        talib.MAX(bars[HIGH], period),
        talib.MIDPRICE(bars[HIGH], bars[LOW], period),
        talib.MIN(bars[LOW], period),
    )


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(donchian, walk(2, 60), 20)


@pytest.mark.parametrize("period", [2, 10, 20, 150])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, period: int) -> None:
    assert_cuts_do_not_matter(donchian, walk(3, 200), period)


def test_a_flat_series_has_no_width(flat: Any, compute: Any) -> None:
    assert (compute(donchian, flat(40, 0.1), 20)[:, 19:] == 0.1).all()


def test_the_bar_itself_is_in_the_window(flat: Any, compute: Any) -> None:
    bars = flat(30, 10.0)
    bars[HIGH, 29] = 12.0
    assert compute(donchian, bars, 20)[:, 29].tolist() == [12.0, 11.0, 10.0]


def test_names() -> None:
    assert donchian.names(20) == ("donchian_20_upper", "donchian_20_middle", "donchian_20_lower")
