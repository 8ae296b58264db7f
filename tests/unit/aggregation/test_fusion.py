"""The fusion formula, worked by hand."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.aggregation.fusion import fuse
from vnpulse.aggregation.rules import load_rules
from vnpulse.messages import VIETNAM, AnalysisResult, ResultBody, ResultMetadata

BOOK = load_rules().model_copy(
    update={"weights": {"technical": 0.6, "sentiment": 0.4}, "sentiment_half_life_minutes": 60.0}
)


def at_ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_nothing_known_is_a_score_of_zero_without_confidence(opening: Any) -> None:
    fused = fuse({}, BOOK, at_ms(opening))
    assert (fused.score, fused.confidence, fused.parts) == (0, 0, {})


def test_one_analysis_keeps_its_score_and_costs_confidence(technical: Any) -> None:
    result = technical("a", 0.7, confidence=0.5)
    fused = fuse({"technical": result}, BOOK, at_ms(result.timestamp))
    assert fused.score == pytest.approx(0.7)
    assert fused.confidence == pytest.approx(0.6 * 0.5 / 1.0)
    assert fused.parts["technical"].share == 1


def test_two_analyses_count_by_weight_confidence_and_age(
    technical: Any, sentiment: Any, opening: Any
) -> None:
    latest = {
        "technical": technical("a", 0.8, minute=119, confidence=0.5),
        "sentiment": sentiment("b", -0.5, minute=0, confidence=0.9),
    }
    fused = fuse(latest, BOOK, at_ms(opening + dt.timedelta(minutes=120)))
    # Two half-lives: 0.25. Weights: 0.6 x 0.5 = 0.3 and 0.4 x 0.9 x 0.25 = 0.09.
    assert fused.parts["sentiment"].age_factor == pytest.approx(0.25)
    assert fused.parts["technical"].age_factor == 1
    assert fused.score == pytest.approx((0.3 * 0.8 - 0.09 * 0.5) / 0.39)
    assert fused.confidence == pytest.approx(0.39)
    assert fused.parts["technical"].contribution == pytest.approx(0.3 / 0.39 * 0.8)
    assert fused.parts["sentiment"].contribution == pytest.approx(-0.09 / 0.39 * 0.5)
    assert sum(part.share for part in fused.parts.values()) == pytest.approx(1)


def test_news_later_than_the_moment_counts_in_full_not_more(sentiment: Any, opening: Any) -> None:
    fused = fuse({"sentiment": sentiment("b", 0.5, minute=30)}, BOOK, at_ms(opening))
    assert fused.parts["sentiment"].age_factor == 1


def test_analyses_without_confidence_give_zero_not_an_error(technical: Any, opening: Any) -> None:
    fused = fuse({"technical": technical("a", 0.9, confidence=0.0)}, BOOK, at_ms(opening))
    assert (fused.score, fused.confidence) == (0, 0)


def test_an_analysis_without_weight_is_left_out(technical: Any, sentiment: Any, opening: Any) -> None:
    book = BOOK.model_copy(update={"weights": {"technical": 1.0}})
    latest = {"technical": technical("a", 0.4), "sentiment": sentiment("b", -1.0)}
    fused = fuse(latest, book, at_ms(opening))
    assert fused.score == pytest.approx(0.4)
    assert list(fused.parts) == ["technical"]


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1), st.integers(0, 100 * 525_600))
def test_the_score_lies_between_its_parts_and_everything_stays_in_range(
    score_a: float, confidence_a: float, score_b: float, confidence_b: float, minutes: int
) -> None:
    at = dt.datetime(2000, 7, 28, tzinfo=VIETNAM)
    metadata = ResultMetadata("v", 0.0)
    latest = {
        "technical": AnalysisResult("a", "FPT", "technical", at, ResultBody(score_a, confidence_a), metadata),
        "sentiment": AnalysisResult("b", "FPT", "sentiment", at, ResultBody(score_b, confidence_b), metadata),
    }
    fused = fuse(latest, BOOK, at_ms(at) + minutes * 60_000)
    assert 0 <= fused.confidence <= 1
    assert -1 <= fused.score <= 1
    if fused.confidence > 0:
        assert min(score_a, score_b) - 1e-9 <= fused.score <= max(score_a, score_b) + 1e-9
