from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import keltner
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize(
    ("period", "atr_period", "multiplier"), [(20, 10, 2.0), (2, 2, 1.0), (10, 20, 1.5), (100, 14, 3.0)]
)
def test_is_made_of_talibs_averages(
    walk: Any, compute: Any, assert_same: Any, period: int, atr_period: int, multiplier: float
) -> None:
    bars = walk(7, 400)
    middle = talib.EMA(bars[CLOSE], period)
    width = multiplier * talib.ATR(bars[HIGH], bars[LOW], bars[CLOSE], atr_period)
    ours = compute(keltner, bars, period, atr_period, multiplier)
    assert_same(ours, middle + width, middle, middle - width)


@pytest.mark.parametrize(("period", "atr_period"), [(20, 10), (10, 20), (10, 10)])
def test_begins_when_it_says(walk: Any, assert_begins: Any, period: int, atr_period: int) -> None:
    assert_begins(keltner, walk(2, 60), period, atr_period, 2.0)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(keltner, walk(3, 100), 20, 10, 2.0)


def test_the_bands_of_a_flat_series_lie_on_its_price(flat: Any, compute: Any) -> None:
    np.testing.assert_allclose(compute(keltner, flat(60, 0.1), 20, 10, 2.0)[:, 19:], 0.1, rtol=1e-15)


def test_names() -> None:
    assert keltner.names(20, 10, 2.0) == (
        "keltner_20_10_2_upper",
        "keltner_20_10_2_middle",
        "keltner_20_10_2_lower",
    )
