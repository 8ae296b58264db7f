from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import momentum
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("period", [1, 2, 10, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    assert_same(compute(momentum, bars, period), talib.MOM(bars[CLOSE], period))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(momentum, walk(2, 60), 10)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(momentum, walk(3, 100), 10)


def test_is_in_the_unit_of_the_price(flat: Any, compute: Any) -> None:
    bars = flat(20, 20.0)
    bars[CLOSE, 12:] = 25.0
    assert compute(momentum, bars, 10)[0, 10:].tolist() == [0.0] * 2 + [5.0] * 8


def test_a_flat_series_does_not_change(flat: Any, compute: Any) -> None:
    assert (compute(momentum, flat(30, 0.1), 10)[0, 10:] == 0.0).all()


def test_name() -> None:
    assert momentum.names(10) == ("mom_10",)
