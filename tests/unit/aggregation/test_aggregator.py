"""The same log gives the same alerts: live, redelivered, and with the state written down in between."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.aggregation.aggregator import Aggregator, SymbolState, decode_state, encode_state
from vnpulse.aggregation.rules import Recommendation, Rule, RuleBook
from vnpulse.market import load_market
from vnpulse.messages import (
    VIETNAM,
    Alert,
    AnalysisResult,
    RecordRef,
    ResultBody,
    ResultMetadata,
    encode,
)

EXCHANGES: dict[str, Any] = {"FPT": "HOSE", "SHS": "HNX", "VNINDEX": "HOSE"}


def _rule(name: str, alert_type: str, read: str, **more: Any) -> Rule:
    return Rule(name=name, alert_type=alert_type, input=read, **more)  # type: ignore[arg-type]


LEVELS: Any = {"medium": 0.0, "high": 0.6, "critical": 0.8}
RULES = {
    rule.name: rule
    for rule in (
        _rule("buy", "buy_signal", "final_score", fire_above=0.5, rearm=0.2, for_results=2,
              min_confidence=0.35, cooldown_minutes=120, priority=LEVELS),
        _rule("sell", "sell_signal", "final_score", fire_below=-0.5, rearm=-0.2, for_results=2,
              min_confidence=0.35, cooldown_minutes=120, priority=LEVELS),
        _rule("sharp_fall", "risk_alert", "day_change_pct", fire_below=-4.0, rearm=-2.5,
              cooldown_minutes=240, priority={"high": 0.0, "critical": 6.0}),
        _rule("bad_news", "risk_alert", "sentiment_score", fire_below=-0.55, rearm=-0.2,
              min_confidence=0.3, cooldown_minutes=240, priority={"medium": 0.0, "high": 0.75}),
    )
}  # fmt: skip


def book(**changes: Any) -> RuleBook:
    """Return rules of our own (those shipped are tuned): all or ``rules``, with changes by rule name."""
    only = changes.pop("rules", tuple(RULES))
    return RuleBook(
        version="1",
        weights={"technical": 0.65, "sentiment": 0.35},
        sentiment_half_life_minutes=720.0,
        recommendation=Recommendation(buy_above=0.2, sell_below=-0.2),
        target_atr=1.5,
        rules=tuple(RULES[name].model_copy(update=changes.get(name, {})) for name in only),
    )


def aggregator(**changes: Any) -> Aggregator:
    return Aggregator(book(**changes), load_market(), EXCHANGES)


def record(offset: int) -> RecordRef:
    return RecordRef("analysis_results", 4, offset, 1_753_668_000_000 + offset)


def run(
    over: Aggregator, results: Sequence[AnalysisResult], state: SymbolState | None = None, first: int = 0
) -> list[Alert]:
    state = state if state is not None else SymbolState()
    return [a for i, result in enumerate(results) for a in over.step(state, result, record(first + i))]


def test_a_buy_signal_needs_two_results_in_a_row(technical: Any) -> None:
    alerts = run(aggregator(), [technical("a", 0.9, 0), technical("b", 0.9, 1), technical("c", 0.9, 2)])
    assert [(a.alert_type, a.timestamp) for a in alerts] == [("buy_signal", technical("b", 0.9, 1).timestamp)]


def test_alerts_say_what_they_are(technical: Any, sentiment: Any) -> None:
    over = aggregator(rules=("buy",))
    [alert] = run(over, [sentiment("s", 0.8), technical("a", 0.9, 0), technical("b", 0.9, 1)])
    assert alert.symbol == "FPT"
    assert alert.data.recommendation == "BUY"
    assert alert.priority == "critical"
    assert alert.message.startswith("Technical and sentiment agree: score +0.8")
    msgspec.json.decode(encode(alert), type=Alert)


def test_an_alert_explains_itself_completely(technical: Any, sentiment: Any) -> None:
    over = aggregator(rules=("buy",))
    results = [sentiment("s", 0.8, 0), technical("a", 0.9, 0), technical("b", 0.9, 1)]
    [alert] = run(over, results, first=70)
    why = alert.data.explanation
    assert why["rule"] == {
        "name": "buy", "version": "1", "condition": "final_score >= 0.5",
        "value": alert.data.final_score, "for_results": 2,
    }  # fmt: skip
    assert set(why["components"]) == {"technical", "sentiment"}
    technical_part, sentiment_part = why["components"]["technical"], why["components"]["sentiment"]
    assert (technical_part["score"], technical_part["confidence"], technical_part["weight"]) == (
        0.9, 0.8, 0.65,
    )  # fmt: skip
    assert technical_part["result_id"] == "b"
    assert sentiment_part["model_version"] == "lexicon/1"
    assert sentiment_part["as_of"] == "2025-07-28T09:15:00+07:00"
    contributions = technical_part["contribution"] + sentiment_part["contribution"]
    assert contributions == pytest.approx(alert.data.final_score, abs=1e-5)
    assert why["technical"]["indicators"] == {"rsi_14": 61.5}
    assert why["technical"]["close"] == 25.0
    assert why["articles"] == [{"news_id": "n-s", "title": "FPT báo lãi"}]
    assert [(r["topic"], r["partition"], r["offset"]) for r in why["inputs"]] == [
        ("stock_prices_raw", 2, 1), ("stock_news_raw", 1, 0), ("analysis_results", 4, 72),
    ]  # fmt: skip
    assert 0 < why["confidence"] <= 1


@pytest.mark.parametrize(
    ("symbol", "close", "atr", "score", "target"),
    [
        pytest.param("FPT", 25.0, 0.5, 0.9, 25.75, id="HOSE, tick 50"),
        pytest.param("FPT", 25.0, 0.51, 0.9, 25.75, id="HOSE, rounded to the tick"),
        pytest.param("FPT", 101.3, 2.17, 0.9, 104.6, id="HOSE, tick 100"),
        pytest.param("FPT", 9.5, 0.031, 0.9, 9.55, id="HOSE, tick 10"),
        pytest.param("SHS", 14.3, 0.37, 0.9, 14.9, id="HNX, tick 100"),
        pytest.param("FPT", 25.0, 0.5, -0.9, 24.25, id="sell: below"),
        pytest.param("FPT", 0.5, 0.9, -0.9, None, id="no target below zero"),
        pytest.param("VNINDEX", 1_300.5, 12.0, 0.9, None, id="an index is not traded"),
        pytest.param("XYZ", 25.0, 0.5, 0.9, None, id="unknown exchange"),
        pytest.param("FPT", 25.0, None, 0.9, None, id="no daily range known"),
    ],
)
def test_the_target_lies_on_the_tick(
    technical: Any, symbol: str, close: float, atr: float | None, score: float, target: float | None
) -> None:
    over = aggregator(rules=("buy", "sell"))
    given_ = {"close": close, "previous_close": close, "atr": atr, "symbol": symbol}
    [alert] = run(over, [technical("a", score, 0, **given_), technical("b", score, 1, **given_)])
    assert alert.data.target_price == target


def test_a_recommendation_to_hold_has_no_target(sentiment: Any, technical: Any) -> None:
    over = aggregator(rules=("bad_news",))
    [alert] = run(over, [technical("a", 0.2), sentiment("s", -0.6, 1, confidence=0.31)])
    assert alert.data.recommendation == "HOLD"
    assert alert.data.target_price is None


@pytest.mark.parametrize(
    ("close", "fired"), [(24.0, ["risk_alert"]), (24.01, []), (20.0, ["risk_alert"]), (26.0, [])]
)
def test_a_sharp_fall_is_measured_against_the_previous_close(
    technical: Any, close: float, fired: list[str]
) -> None:
    over = aggregator(rules=("sharp_fall",))
    alerts = run(over, [technical("a", 0.0, close=close, previous_close=25.0, confidence=0.0)])
    assert [alert.alert_type for alert in alerts] == fired


@pytest.mark.parametrize("previous_close", [None, 0.0])
def test_without_a_previous_close_there_is_no_fall(technical: Any, previous_close: float | None) -> None:
    assert run(aggregator(), [technical("a", 0.0, close=1.0, previous_close=previous_close)]) == []


def test_news_does_not_step_the_rules_that_read_prices(technical: Any, sentiment: Any) -> None:
    over = aggregator(rules=("sharp_fall",), sharp_fall={"for_results": 2})
    assert run(over, [technical("a", 0.0, close=20.0), sentiment("s", 0.1, 2), sentiment("t", 0.1, 3)]) == []


def test_the_same_result_again_changes_nothing(technical: Any) -> None:
    over, state = aggregator(rules=("buy",)), SymbolState()
    assert run(over, [technical("a", 0.9, 0)] * 5, state) == []
    assert state.episodes["buy"].streak == 1


def test_results_delivered_again_in_order_change_nothing(technical: Any, sentiment: Any) -> None:
    over, state = aggregator(), SymbolState()
    results = [technical(f"t{i}", 0.6, i, close=24.0) for i in range(4)]
    results += [sentiment(f"s{i}", -0.8, i) for i in range(3)]
    assert run(over, results, state)
    before = encode_state(state)
    assert run(over, results, state, first=100) == []
    assert encode_state(state) == before


def test_results_of_one_moment_delivered_again_change_nothing(sentiment: Any) -> None:
    # Two articles published in the same minute, as feeds with whole minutes have them.
    over, state = aggregator(rules=("bad_news",), bad_news={"for_results": 3}), SymbolState()
    results = [sentiment("a", -0.8), sentiment("b", -0.9)]
    run(over, results, state)
    before = encode_state(state)
    assert run(over, results, state, first=100) == []
    assert encode_state(state) == before


def test_an_older_result_does_not_replace_a_newer_one(technical: Any) -> None:
    over, state = aggregator(), SymbolState()
    run(over, [technical("new", 0.1, 5), technical("old", 0.9, 4)], state)
    assert state.latest["technical"].result_id == "new"


def test_alert_ids_are_the_same_in_every_run_and_differ_between_alerts(technical: Any) -> None:
    scores = [0.9, 0.9, -0.9, -0.9]
    results = [technical(f"r{i}", score, i * 200) for i, score in enumerate(scores)]
    first, second = run(aggregator(), results), run(aggregator(), results, first=500)
    assert len(first) == 2
    assert [a.alert_id for a in first] == [a.alert_id for a in second]
    assert len({a.alert_id for a in first}) == 2


def test_another_version_of_the_rules_makes_other_alerts(technical: Any) -> None:
    results = [technical("a", 0.9, 0), technical("b", 0.9, 1)]
    other = Aggregator(book().model_copy(update={"version": "2"}), load_market(), EXCHANGES)
    assert run(aggregator(), results)[0].alert_id != run(other, results)[0].alert_id


_results = st.lists(
    st.tuples(st.booleans(), st.floats(-1, 1), st.floats(0.2, 1), st.floats(20, 30), st.integers(0, 90)),
    min_size=2,
    max_size=14,
)


def written_down(parts: list[tuple[bool, float, float, float, int]]) -> list[AnalysisResult]:
    """Return results, decoded from JSON as the handler has them, in order of time."""
    at = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)
    results = []
    for i, (is_news, score, confidence, close, wait) in enumerate(parts):
        at += dt.timedelta(minutes=wait)
        details: dict[str, Any] = (
            {"articles": [{"news_id": f"n{i}", "title": "tin"}]}
            if is_news
            else {"close": close, "daily": {"close": 25, "atr_14": 0.5}, "interval": "1m"}
        )
        kind: Any = "sentiment" if is_news else "technical"
        made = AnalysisResult(
            f"r{i}", "FPT", kind, at, ResultBody(score, confidence, details),
            ResultMetadata("v", 0.1, RecordRef("stock_prices_raw", 0, i, 5)),
        )  # fmt: skip
        results.append(msgspec.json.decode(encode(made), type=AnalysisResult))
    return results


@given(_results, st.data())
def test_writing_the_state_down_in_the_middle_changes_no_alert(
    parts: list[tuple[bool, float, float, float, int]], data: st.DataObject
) -> None:
    results = written_down(parts)
    over = aggregator(
        buy={"for_results": 1, "fire_above": 0.3, "min_confidence": 0.0, "cooldown_minutes": 30},
        sell={"fire_below": -0.3, "min_confidence": 0.0, "cooldown_minutes": 30},
        bad_news={"min_confidence": 0.0, "cooldown_minutes": 0},
    )
    straight = run(over, results)
    cut = data.draw(st.integers(0, len(results)))
    state = SymbolState()
    before = run(over, results[:cut], state)
    after = run(over, results[cut:], decode_state(encode_state(state)), first=cut)
    assert [encode(a) for a in before + after] == [encode(a) for a in straight]


def test_the_state_of_a_new_symbol_survives_being_written_down() -> None:
    assert decode_state(encode_state(SymbolState())) == SymbolState()


def test_two_symbols_do_not_share_state(technical: Any) -> None:
    over, one, other = aggregator(rules=("buy",)), SymbolState(), SymbolState()
    run(over, [technical("a", 0.9, 0)], one)
    assert other == SymbolState()
    assert run(over, [technical("b", 0.9, 1, symbol="SHS")], other) == []


def test_a_sharp_fall_on_news_that_bad_gives_both_alerts_different_ids(sentiment: Any) -> None:
    over = aggregator(rules=("sell", "bad_news"), sell={"for_results": 1, "min_confidence": 0.0})
    alerts = run(over, [sentiment("s", -0.9)])
    assert [a.alert_type for a in alerts] == ["sell_signal", "risk_alert"]
    assert len({a.alert_id for a in alerts}) == 2
    assert "FPT báo lãi" in alerts[1].message
