from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import macd
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("periods", [(12, 26, 9), (2, 3, 1), (5, 35, 5)])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, periods: tuple[int, int, int]) -> None:
    bars = walk(1, 400)
    assert_same(compute(macd, bars, *periods), *talib.MACD(bars[CLOSE], *periods))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(macd, walk(2, 80), 12, 26, 9)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(macd, walk(3, 100), 12, 26, 9)


def test_a_flat_series_has_no_momentum(flat: Any, compute: Any) -> None:
    assert (compute(macd, flat(60), 12, 26, 9)[:, 33:] == 0.0).all()


def test_fast_must_be_below_slow() -> None:
    with pytest.raises(ValueError, match=r"fast was 26, must be below slow \(26\)"):
        macd.warm_up(26, 26, 9)


def test_names() -> None:
    assert macd.names(12, 26, 9) == ("macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_hist")
