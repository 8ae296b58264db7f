from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import aroon
from vnpulse.indicators.columns import HIGH, LOW


@pytest.mark.parametrize("period", [2, 14, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    down, up = talib.AROON(bars[HIGH], bars[LOW], period)
    expected = up, down, talib.AROONOSC(bars[HIGH], bars[LOW], period)
    # TA-Lib's up and down of a flat window are 100.
    same = talib.MAX(bars[HIGH], period + 1) != talib.MIN(bars[LOW], period + 1)
    assert_same(compute(aroon, bars, period)[:, same], *(line[same] for line in expected))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(aroon, walk(2, 60), 14)


@pytest.mark.parametrize("period", [2, 14])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, period: int) -> None:
    assert_cuts_do_not_matter(aroon, walk(3, 100), period)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    up, down, osc = compute(aroon, flat(40, 0.1), 14)[:, 14:]
    assert (up == 50.0).all()
    assert (down == 50.0).all()
    assert (osc == 0.0).all()


def test_of_equal_extremes_the_latest_counts(flat: Any, compute: Any) -> None:
    bars = flat(40)
    bars[HIGH] += 0.1
    up, down, osc = compute(aroon, bars, 14)[:, 14:]
    assert (up == 100.0).all()
    assert (down == 100.0).all()
    assert (osc == 0.0).all()


def test_a_series_that_only_rises_is_all_up(flat: Any, compute: Any) -> None:
    bars = flat(40)
    bars[HIGH] = bars[LOW] = np.arange(1, 41)
    up, down, osc = compute(aroon, bars, 14)[:, 14:]
    assert (up == 100.0).all()
    assert (down == 0.0).all()
    assert (osc == 100.0).all()


def test_names() -> None:
    assert aroon.names(14) == ("aroon_14_up", "aroon_14_down", "aroon_14_osc")
