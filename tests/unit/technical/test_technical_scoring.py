from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.technical import scoring

WEIGHTS = np.array([0.4, 0.35, 0.25])
READY = {
    "close": 25.0,
    "sma": 25.0,
    "ema": 25.0,
    "macd_hist": 0.0,
    "rsi": 50.0,
    "rsi_change": 0.0,
    "bb_upper": 25.4,
    "bb_middle": 25.0,
    "atr": 0.1,
    "activity": 0.5,
}


def _score(weights: Any = WEIGHTS, **changes: float) -> dict[int, float]:
    row = {name: np.array([value]) for name, value in {**READY, **changes}.items()}
    return dict(enumerate(scoring.score_rows(**row, weights=weights)[0].tolist()))


def test_a_score_by_hand() -> None:
    got = _score(close=25.3, ema=25.1, macd_hist=0.02, rsi=75.0, rsi_change=6.0, activity=0.15)
    a, b = math.tanh(0.3 / (2.5 * 0.1)), math.tanh(0.1 / (1.25 * 0.1))
    c, d = math.tanh(0.02 / (0.4 * 0.1)), math.tanh(6 / 12)
    trend, momentum, reversion = (a + b) / 2, (c + d) / 2, (-0.25 + 0.0) / 2
    assert got[scoring.TREND] == pytest.approx(trend)
    assert got[scoring.MOMENTUM] == pytest.approx(momentum)
    assert got[scoring.REVERSION] == pytest.approx(reversion)
    assert (got[scoring.TREND_SURE], got[scoring.MOMENTUM_SURE]) == (1.0, 1.0)
    assert got[scoring.REVERSION_SURE] == pytest.approx(0.125)
    towards = 0.4 * trend + 0.35 * momentum + 0.25 * 0.125 * reversion
    sure = 0.4 + 0.35 + 0.25 * 0.125
    magnitude = 0.4 * trend + 0.35 * momentum - 0.25 * 0.125 * reversion
    assert got[scoring.LIVELINESS] == pytest.approx(0.5)
    assert got[scoring.SCORE] == pytest.approx(0.5 * towards / sure)
    assert got[scoring.CONFIDENCE] == pytest.approx(0.5 * towards / magnitude * sure)


def test_rising_is_buy_and_falling_is_its_mirror_image() -> None:
    up = _score(close=25.3, ema=25.1, macd_hist=0.02, rsi=65.0, rsi_change=6.0)
    down = _score(close=24.7, ema=24.9, macd_hist=-0.02, rsi=35.0, rsi_change=-6.0)
    assert up[scoring.SCORE] > 0.5
    assert down[scoring.SCORE] == pytest.approx(-up[scoring.SCORE])
    assert down[scoring.CONFIDENCE] == pytest.approx(up[scoring.CONFIDENCE])


def test_oversold_at_the_lower_band_calls_for_a_rebound() -> None:
    got = _score(close=24.5, rsi=15.0)
    assert got[scoring.REVERSION] == pytest.approx((0.75 + 1.0) / 2)
    assert _score(close=25.5, rsi=85.0)[scoring.REVERSION] == -got[scoring.REVERSION]
    assert _score(close=25.2, rsi=60.0)[scoring.REVERSION_SURE] == 0.0


def test_a_flat_series_says_nothing() -> None:
    got = _score(bb_upper=25.0, atr=0.0, activity=0.0)
    assert got[scoring.SCORE] == got[scoring.CONFIDENCE] == 0.0


def test_one_tick_after_an_hour_of_silence_is_no_signal() -> None:
    got = _score(close=25.05, sma=25.0025, ema=25.008, macd_hist=0.003, rsi=100.0, atr=0.0036, activity=0.05)
    assert abs(got[scoring.TREND]) > 0.9
    assert abs(got[scoring.SCORE]) < 0.17
    assert got[scoring.CONFIDENCE] < 0.17


@pytest.mark.parametrize("missing", list(READY))
def test_what_is_not_ready_does_not_count(missing: str) -> None:
    got = _score(**{"close": 25.2, "ema": 25.1, "macd_hist": 0.02, "rsi_change": 4.0, missing: math.nan})
    assert not math.isnan(got[scoring.SCORE])
    if missing == "sma":
        assert math.isnan(got[scoring.TREND])
        assert got[scoring.SCORE] == pytest.approx(got[scoring.MOMENTUM])
        assert got[scoring.CONFIDENCE] == pytest.approx(0.35)
    if missing in ("activity", "close"):
        assert got[scoring.SCORE] == 0.0 or missing == "close"


def test_nothing_ready_is_zero() -> None:
    got = _score(**dict.fromkeys(READY, math.nan))
    assert got[scoring.SCORE] == got[scoring.CONFIDENCE] == got[scoring.LIVELINESS] == 0.0


_value = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))
_share = st.one_of(st.just(math.nan), st.floats(0, 1))


@settings(max_examples=300, deadline=None)
@given(
    values=st.tuples(*[_value] * 4, st.floats(0, 100), *[_value] * 3, st.floats(0, 1e6), _share),
    weights=st.tuples(*[st.floats(0, 1)] * 3).filter(lambda w: sum(w) > 0),
)
def test_score_and_confidence_stay_in_range(values: tuple[float, ...], weights: tuple[float, ...]) -> None:
    got = _score(np.array(weights), **dict(zip(READY, values, strict=True)))
    assert -1.0 <= got[scoring.SCORE] <= 1.0
    assert 0.0 <= got[scoring.CONFIDENCE] <= 1.0
    assert 0.0 <= got[scoring.LIVELINESS] <= 1.0
