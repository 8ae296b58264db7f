from __future__ import annotations

from typing import Any

import pytest
import talib

from vnpulse.indicators import atr
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize("period", [2, 14, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(7, 400)
    assert_same(compute(atr, bars, period), talib.ATR(bars[HIGH], bars[LOW], bars[CLOSE], period))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(atr, walk(2, 60), 14)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(atr, walk(3, 100), 14)


def test_a_gap_between_bars_counts(flat: Any, compute: Any) -> None:
    bars = flat(3, 10.0)
    bars[:4, 2] = 12.0
    assert compute(atr, bars, 2)[0, 2] == 1.0


def test_a_flat_series_has_no_range(flat: Any, compute: Any) -> None:
    assert (compute(atr, flat(30), 14)[0, 14:] == 0.0).all()


def test_name() -> None:
    assert atr.names(14) == ("atr_14",)
