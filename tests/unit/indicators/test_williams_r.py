from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import williams_r
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize("period", [2, 5, 14, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(1, 400)
    expected = talib.WILLR(bars[HIGH], bars[LOW], bars[CLOSE], period)
    # TA-Lib's %R of a flat window is 0.
    same = talib.MAX(bars[HIGH], period) != talib.MIN(bars[LOW], period)
    assert_same(compute(williams_r, bars, period)[:, same], expected[same])


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(williams_r, walk(2, 60), 14)


@pytest.mark.parametrize("period", [2, 14])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, period: int) -> None:
    assert_cuts_do_not_matter(williams_r, walk(3, 100), period)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    assert (compute(williams_r, flat(40, 0.1), 14)[0, 13:] == -50.0).all()


def test_a_series_that_only_rises_is_at_0(flat: Any, compute: Any) -> None:
    bars = flat(40)
    bars[CLOSE] = bars[HIGH] = bars[LOW] = np.arange(1, 41) / 3
    assert (compute(williams_r, bars, 14)[0, 13:] == 0.0).all()


def test_name() -> None:
    assert williams_r.names(14) == ("willr_14",)
