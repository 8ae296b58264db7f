from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import stochastic_rsi
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize("periods", [(14, 14, 3), (2, 2, 1), (5, 3, 20), (14, 5, 1), (3, 100, 5)])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, periods: tuple[int, int, int]) -> None:
    bars = walk(1, 400, flat_share=0.0)
    period, fastk, fastd = periods
    expected = talib.STOCHRSI(bars[CLOSE], period, fastk, fastd, 0)
    # Where the close does not move for ``fastk`` bars TA-Lib divides rounding errors of the RSI.
    strength = talib.RSI(bars[CLOSE], period)
    flat = talib.MAX(strength, fastk) - talib.MIN(strength, fastk) < 1e-9
    same = np.convolve(flat, np.ones(fastd))[:400] == 0
    assert same.mean() > 0.5
    assert_same(compute(stochastic_rsi, bars, *periods)[:, same], *(line[same] for line in expected))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(stochastic_rsi, walk(2, 60), 14, 14, 3)


@pytest.mark.parametrize("periods", [(14, 14, 3), (2, 2, 1), (5, 30, 20)])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, periods: tuple[int, int, int]) -> None:
    assert_cuts_do_not_matter(stochastic_rsi, walk(3, 150), *periods)


def test_a_flat_series_is_neutral(flat: Any, compute: Any) -> None:
    assert (compute(stochastic_rsi, flat(60), 14, 14, 3)[:, 29:] == 50.0).all()


def test_a_series_that_only_rises_is_neutral(flat: Any, compute: Any) -> None:
    # Its RSI is 100 up to rounding errors, and does not move.
    bars = flat(100)
    bars[CLOSE] = 10.0 * 1.01 ** np.arange(100)
    assert (compute(stochastic_rsi, bars, 14, 14, 3)[:, 29:] == 50.0).all()


def test_a_series_that_stops_moving_becomes_neutral(walk: Any, compute: Any) -> None:
    bars = walk(4, 200)
    bars[CLOSE, 100:] = bars[CLOSE, 100]
    assert (compute(stochastic_rsi, bars, 14, 14, 3)[:, 116:] == 50.0).all()


def test_names() -> None:
    assert stochastic_rsi.names(14, 14, 3) == ("stochrsi_14_14_3_k", "stochrsi_14_14_3_d")
