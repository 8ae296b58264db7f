from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import wma
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("period", [2, 4, 5, 20, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    assert_same(compute(wma, bars, period), talib.WMA(bars[CLOSE], period))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(wma, walk(2, 60), 20)


@pytest.mark.parametrize("period", [2, 20])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, period: int) -> None:
    assert_cuts_do_not_matter(wma, walk(3, 200), period)


def test_a_flat_series_gives_its_price_exactly(flat: Any, compute: Any) -> None:
    assert (compute(wma, flat(50, 0.1), 20)[0, 19:] == 0.1).all()


def test_the_newest_close_weighs_most(flat: Any, compute: Any) -> None:
    bars = flat(6, 10.0)
    bars[CLOSE, 3] = 16.0
    np.testing.assert_allclose(compute(wma, bars, 3)[0, 2:], [10.0, 13.0, 12.0, 11.0])


def test_name() -> None:
    assert wma.names(20) == ("wma_20",)
