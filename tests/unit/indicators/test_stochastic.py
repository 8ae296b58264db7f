from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import fast_stochastic, stochastic
from vnpulse.indicators.columns import CLOSE, HIGH, LOW


@pytest.mark.parametrize("periods", [(14, 3, 3), (2, 1, 1), (5, 1, 3), (5, 3, 1), (14, 100, 3), (100, 5, 20)])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, periods: tuple[int, int, int]) -> None:
    bars = walk(1, 400)
    fastk, slowk, slowd = periods
    expected = talib.STOCH(bars[HIGH], bars[LOW], bars[CLOSE], fastk, slowk, 0, slowd, 0)
    # TA-Lib's fast %K of a flat window is 0.
    flat = talib.MAX(bars[HIGH], fastk) == talib.MIN(bars[LOW], fastk)
    same = np.convolve(flat, np.ones(slowk + slowd - 1))[:400] == 0
    assert_same(compute(stochastic, bars, *periods)[:, same], *(line[same] for line in expected))


def test_without_smoothing_it_is_the_fast_one(walk: Any, compute: Any) -> None:
    bars = walk(4, 100)
    np.testing.assert_array_equal(compute(stochastic, bars, 14, 1, 3), compute(fast_stochastic, bars, 14, 3))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(stochastic, walk(2, 60), 14, 3, 3)


@pytest.mark.parametrize("periods", [(14, 3, 3), (2, 1, 1), (5, 20, 7), (30, 1, 3)])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, periods: tuple[int, int, int]) -> None:
    assert_cuts_do_not_matter(stochastic, walk(3, 100), *periods)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    assert (compute(stochastic, flat(40, 0.1), 14, 3, 3)[:, 17:] == 50.0).all()


def test_a_series_that_only_rises_is_at_100(flat: Any, compute: Any) -> None:
    bars = flat(40)
    bars[CLOSE] = bars[HIGH] = bars[LOW] = np.arange(1, 41) / 3
    assert (compute(stochastic, bars, 14, 3, 3)[:, 17:] == 100.0).all()


def test_names() -> None:
    assert stochastic.names(14, 3, 3) == ("stoch_14_3_3_k", "stoch_14_3_3_d")
