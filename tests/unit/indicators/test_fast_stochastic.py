from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import fast_stochastic
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize("periods", [(14, 3), (2, 1), (5, 1), (14, 100), (100, 5)])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, periods: tuple[int, int]) -> None:
    bars = walk(1, 400)
    fastk, fastd = periods
    expected = talib.STOCHF(bars[HIGH], bars[LOW], bars[CLOSE], fastk, fastd, 0)
    # TA-Lib's %K of a flat window is 0.
    flat = talib.MAX(bars[HIGH], fastk) == talib.MIN(bars[LOW], fastk)
    same = np.convolve(flat, np.ones(fastd))[:400] == 0
    assert_same(compute(fast_stochastic, bars, *periods)[:, same], *(line[same] for line in expected))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(fast_stochastic, walk(2, 60), 14, 3)


@pytest.mark.parametrize("periods", [(14, 3), (2, 1), (5, 20), (30, 3)])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, periods: tuple[int, int]) -> None:
    assert_cuts_do_not_matter(fast_stochastic, walk(3, 100), *periods)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    assert (compute(fast_stochastic, flat(40, 0.1), 14, 3)[:, 15:] == 50.0).all()


def test_a_close_at_the_end_of_the_range_is_exactly_there(walk: Any, compute: Any) -> None:
    bars = walk(4, 200)
    bars[CLOSE] = bars[HIGH] = np.arange(1, 201) / 3
    bars[LOW] = bars[CLOSE] - 1.0
    assert (compute(fast_stochastic, bars, 14, 1)[:, 13:] == 100.0).all()
    bars[CLOSE] = bars[LOW] = np.arange(201, 1, -1) / 3
    bars[HIGH] = bars[CLOSE] + 1.0
    assert (compute(fast_stochastic, bars, 14, 1)[:, 13:] == 0.0).all()


def test_names() -> None:
    assert fast_stochastic.names(14, 3) == ("stochf_14_3_k", "stochf_14_3_d")
