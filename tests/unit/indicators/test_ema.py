from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import ema
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("period", [2, 12, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    assert_same(compute(ema, bars, period), talib.EMA(bars[CLOSE], period))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(ema, walk(2, 60), 12)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(ema, walk(3, 100), 12)


def test_a_flat_series_stays_at_its_price(flat: Any, compute: Any) -> None:
    values = compute(ema, flat(50, 5.0), 12)[0, 11:]
    assert (values == 5.0).all()


def test_name() -> None:
    assert ema.names(12) == ("ema_12",)
