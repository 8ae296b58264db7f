from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import atr, natr
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize("period", [2, 14, 100])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int) -> None:
    bars = walk(7, 400)
    assert_same(compute(natr, bars, period), talib.NATR(bars[HIGH], bars[LOW], bars[CLOSE], period))


def test_is_the_average_true_range_in_percent_of_the_close(walk: Any, compute: Any) -> None:
    bars = walk(4, 100)
    expected = 100.0 * compute(atr, bars, 14) / bars[CLOSE]
    np.testing.assert_allclose(compute(natr, bars, 14), expected, rtol=1e-12)


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(natr, walk(2, 60), 14)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(natr, walk(3, 100), 14)


def test_a_flat_series_has_no_range(flat: Any, compute: Any) -> None:
    assert (compute(natr, flat(30), 14)[0, 14:] == 0.0).all()


def test_name() -> None:
    assert natr.names(14) == ("natr_14",)


def test_a_close_of_0_divides_nothing(walk: Any, compute: Any, assert_same: Any) -> None:
    bars = walk(9, 60)
    bars[CLOSE, 30] = 0.0
    assert_same(compute(natr, bars, 14), talib.NATR(bars[HIGH], bars[LOW], bars[CLOSE], 14))
