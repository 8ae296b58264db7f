from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.technical import scoring

WEIGHTS = np.array([0.35, 0.3, 0.2, 0.05, 0.1])
READY = {
    "CLOSE": 25.0,
    "SMA": 25.0,
    "EMA": 25.0,
    "ATR": 0.1,
    "MACD_HIST": 0.0,
    "RSI": 50.0,
    "RSI_CHANGE": 0.0,
    "PERCENT_B": 0.5,
    "EXPANSION": 0.0,
    "MFI": 50.0,
    "VWAP": 25.0,
    "VOLUME_Z": 0.0,
    "ACTIVITY": 0.5,
    "LOCKED": 0.0,
}


def _score(weights: Any = WEIGHTS, **changes: float) -> dict[str, float]:
    inputs = np.zeros((1, scoring.INPUTS))
    for name, value in {**READY, **changes}.items():
        inputs[0, getattr(scoring, name)] = value
    row = scoring.score_rows(inputs, weights)[0].tolist()
    named = dict(zip(("score", "confidence", "liveliness"), row, strict=False))
    for number, component in enumerate(scoring.COMPONENTS):
        named[component] = row[scoring.FIRST_COMPONENT + 2 * number]
        named[f"{component} sure"] = row[scoring.FIRST_COMPONENT + 2 * number + 1]
    return named


def test_a_score_by_hand() -> None:
    got = _score(
        CLOSE=25.3, EMA=25.1, MACD_HIST=0.02, RSI=75.0, RSI_CHANGE=6.0, ACTIVITY=0.15, PERCENT_B=0.9,
        EXPANSION=0.4, MFI=70.0, VWAP=25.1, VOLUME_Z=1.5,
    )  # fmt: skip
    a, b = math.tanh(0.3 / (2.5 * 0.1)), math.tanh(0.1 / (1.25 * 0.1))
    c, d = math.tanh(0.02 / (0.4 * 0.1)), math.tanh(6 / 12)
    by_hand = {
        "trend": ((a + b) / 2, 1.0),
        "momentum": ((c + d) / 2, 1.0),
        "mean_reversion": ((-0.25 - 0.2) / 2, 0.225),
        "volatility": (0.8 * 0.4, 0.4),
        "volume": ((0.5 + math.tanh(0.2 / (5 * 0.1))) / 2, 1 / (1 + math.exp(-1.5))),
    }
    for name, (score, sure) in by_hand.items():
        assert got[name] == pytest.approx(score)
        assert got[f"{name} sure"] == pytest.approx(sure)
    weighed = [(w * sure, score) for w, (score, sure) in zip(WEIGHTS, by_hand.values(), strict=True)]
    towards = sum(w * s for w, s in weighed)
    sure = sum(w for w, _ in weighed)
    assert got["liveliness"] == pytest.approx(0.5)
    assert got["score"] == pytest.approx(0.5 * towards / sure)
    assert got["confidence"] == pytest.approx(0.5 * towards / sum(w * abs(s) for w, s in weighed) * sure)


def test_rising_is_buy_and_falling_is_its_mirror_image() -> None:
    up = _score(CLOSE=25.3, EMA=25.1, MACD_HIST=0.02, RSI=65.0, RSI_CHANGE=6.0, PERCENT_B=0.95, MFI=60.0)
    down = _score(CLOSE=24.7, EMA=24.9, MACD_HIST=-0.02, RSI=35.0, RSI_CHANGE=-6.0, PERCENT_B=0.05, MFI=40.0)
    assert up["score"] > 0.4
    assert down["score"] == pytest.approx(-up["score"])
    assert down["confidence"] == pytest.approx(up["confidence"])


def test_oversold_at_the_lower_band_calls_for_a_rebound() -> None:
    got = _score(RSI=15.0, PERCENT_B=-0.1)
    assert got["mean_reversion"] == pytest.approx((0.75 + 1.0) / 2)
    assert _score(RSI=85.0, PERCENT_B=1.1)["mean_reversion"] == -got["mean_reversion"]
    assert _score(RSI=60.0, PERCENT_B=0.7)["mean_reversion sure"] == 0.0


def test_locked_at_the_ceiling_is_not_overbought() -> None:
    free = _score(RSI=95.0, PERCENT_B=1.2)
    locked = _score(RSI=95.0, PERCENT_B=1.2, LOCKED=1.0)
    assert free["mean_reversion"] == -1.0
    assert locked["mean_reversion"] == locked["mean_reversion sure"] == 0.0
    assert math.isnan(_score(RSI=math.nan, LOCKED=1.0)["mean_reversion"])


def test_only_widening_bands_make_a_break_out() -> None:
    assert _score(PERCENT_B=1.3, EXPANSION=0.5)["volatility"] == 0.5
    assert _score(PERCENT_B=-0.3, EXPANSION=7.0)["volatility"] == -1.0
    assert _score(PERCENT_B=1.3, EXPANSION=-0.2)["volatility sure"] == 0.0
    assert _score(PERCENT_B=1.3, EXPANSION=math.inf)["volatility"] == 1.0


def test_more_volume_makes_the_flow_surer() -> None:
    usual, heavy = _score(MFI=90.0, VWAP=24.5), _score(MFI=90.0, VWAP=24.5, VOLUME_Z=3.0)
    assert usual["volume"] == heavy["volume"] > 0.8
    assert usual["volume sure"] == 0.5
    assert heavy["volume sure"] > 0.9


def test_a_flat_series_says_nothing() -> None:
    got = _score(ATR=0.0, ACTIVITY=0.0)
    assert got["score"] == got["confidence"] == 0.0


def test_one_tick_after_an_hour_of_silence_is_no_signal() -> None:
    got = _score(CLOSE=25.05, SMA=25.0025, EMA=25.008, MACD_HIST=0.003, RSI=100.0, ATR=0.0036, ACTIVITY=0.05)
    assert abs(got["trend"]) > 0.9
    assert abs(got["score"]) < 0.17
    assert got["confidence"] < 0.17


@pytest.mark.parametrize("missing", list(READY))
def test_what_is_not_ready_does_not_count(missing: str) -> None:
    got = _score(**{"CLOSE": 25.2, "EMA": 25.1, "MACD_HIST": 0.02, "RSI_CHANGE": 4.0, missing: math.nan})
    assert not math.isnan(got["score"])
    if missing == "SMA":
        assert math.isnan(got["trend"])
        assert got["confidence"] < _score(CLOSE=25.2, EMA=25.1, MACD_HIST=0.02, RSI_CHANGE=4.0)["confidence"]
    if missing == "ACTIVITY":
        assert got["score"] == 0.0


def test_nothing_ready_is_zero() -> None:
    got = _score(**dict.fromkeys(READY, math.nan))
    assert got["score"] == got["confidence"] == got["liveliness"] == 0.0


_value = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))
_share = st.one_of(st.just(math.nan), st.floats(0, 1))


@settings(max_examples=300, deadline=None)
@given(
    values=st.fixed_dictionaries({name: _share if name == "ACTIVITY" else _value for name in READY}),
    weights=st.tuples(*[st.floats(0, 1)] * 5).filter(lambda w: sum(w) > 0),
)
def test_score_and_confidence_stay_in_range(values: dict[str, float], weights: tuple[float, ...]) -> None:
    got = _score(np.array(weights), **values)
    assert -1.0 <= got["score"] <= 1.0
    assert 0.0 <= got["confidence"] <= 1.0
    assert 0.0 <= got["liveliness"] <= 1.0
