from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import sma
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("period", [2, 20, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    assert_same(compute(sma, bars, period), talib.SMA(bars[CLOSE], period))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(sma, walk(2, 60), 20)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(sma, walk(3, 200), 20)


def test_a_flat_series_gives_its_price_exactly(flat: Any, compute: Any) -> None:
    assert (compute(sma, flat(50, 0.1), 20)[0, 19:] == 0.1).all()


def test_name() -> None:
    assert sma.names(20) == ("sma_20",)
