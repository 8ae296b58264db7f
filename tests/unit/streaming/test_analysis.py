from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.analysis import AnalysisRequest
from vnpulse.errors import AnalyzerUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import VIETNAM, AnalysisTrigger, OffsetRange, TriggerMetadata, encode
from vnpulse.streaming.analysis import REQUESTS_PER_CALL, TriggerHandler, coalesce
from vnpulse.streaming.analyzer_pool import EncodedResult

TRIGGERS, RESULTS = "analysis_triggers", "analysis_results"
PRICES, NEWS = "stock_prices_raw", "stock_news_raw"
AT = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)


def trigger(
    symbol: str,
    *sources: OffsetRange,
    kind: str = "price_update",
    priority: str = "normal",
    trigger_id: str = "t",
) -> AnalysisTrigger:
    metadata = TriggerMetadata(1, priority, list(sources))  # type: ignore[arg-type]
    return AnalysisTrigger(trigger_id, symbol, kind, AT, metadata)  # type: ignore[arg-type]


def prices(first: int, last: int, partition: int = 0) -> OffsetRange:
    return OffsetRange(PRICES, partition, first, last)


class EchoPool:
    """Answers each request with its symbol; fails while ``errors`` last."""

    def __init__(self) -> None:
        self.calls: list[list[AnalysisRequest]] = []
        self.errors: list[Exception] = []

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        self.calls.append(list(requests))
        if self.errors:
            raise self.errors.pop(0)
        return [EncodedResult(request.symbol, request.symbol.encode()) for request in requests]


@pytest.fixture
def technical() -> EchoPool:
    return EchoPool()


@pytest.fixture
def sentiment() -> EchoPool:
    return EchoPool()


@pytest.fixture
def handler(technical: EchoPool, outputs: Any) -> Iterator[TriggerHandler]:
    made = TriggerHandler("technical", technical, outputs, DeadLetters(outputs, "test"), RESULTS)
    yield made
    made.close()


@pytest.fixture
def of_news(sentiment: EchoPool, outputs: Any) -> TriggerHandler:
    """The one that reads the same triggers for the other analyzer."""
    return TriggerHandler(
        "sentiment", sentiment, outputs, DeadLetters(outputs, "test"), RESULTS, keeps_bad=False
    )


def test_stretches_that_touch_or_overlap_are_joined_and_others_are_not() -> None:
    requests = coalesce(
        [
            trigger("VCB", prices(20, 25)),
            trigger("VCB", prices(0, 4)),
            trigger("VCB", prices(5, 9)),
            trigger("VCB", prices(7, 12)),
            trigger("VCB", prices(14, 14)),
            trigger("VCB", prices(13, 13, partition=1)),
        ]
    )
    assert list(requests) == ["technical"]
    [request] = requests["technical"]
    assert request.sources == (prices(0, 12), prices(14, 14), prices(20, 25), prices(13, 13, partition=1))


def test_a_stretch_inside_another_does_not_shorten_it() -> None:
    [request] = coalesce([trigger("VCB", prices(0, 10)), trigger("VCB", prices(3, 4))])["technical"]
    assert request.sources == (prices(0, 10),)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6), st.integers(0, 2)), min_size=1))
def test_coalescing_asks_for_exactly_the_records_that_the_triggers_name(
    stretches: list[tuple[int, int, int]],
) -> None:
    named = {(p, o) for first, more, p in stretches for o in range(first, first + more + 1)}
    triggers = [trigger("VCB", prices(first, first + more, p)) for first, more, p in stretches]
    [request] = coalesce(triggers)["technical"]
    asked = [(s.partition, o) for s in request.sources for o in range(s.first, s.last + 1)]
    assert len(asked) == len(set(asked))
    assert set(asked) == named


def test_urgent_symbols_come_first_and_equals_in_order_of_arrival() -> None:
    asked = coalesce(
        [
            trigger("AAA", prices(0, 0), priority="low"),
            trigger("BBB", prices(1, 1)),
            trigger("CCC", prices(2, 2), priority="high"),
            trigger("DDD", prices(3, 3)),
            trigger("EEE", prices(4, 4), priority="urgent"),
            trigger("AAA", prices(5, 5), priority="urgent"),
        ]
    )["technical"]
    assert [request.symbol for request in asked] == ["AAA", "EEE", "CCC", "BBB", "DDD"]


def test_a_trigger_without_records_asks_for_the_latest_state_beside_the_stretches() -> None:
    asked = coalesce([trigger("VCB", prices(0, 3), trigger_id="a"), trigger("VCB", trigger_id="b")])
    assert [(request.request_id, request.sources) for request in asked["technical"]] == [
        ("b", (prices(0, 3),)),
        ("b", ()),
    ]


def test_latest_state_is_asked_for_once_however_often_it_was_requested() -> None:
    asked = coalesce([trigger("VCB", kind="scheduled", trigger_id=name) for name in "abc"])
    assert {kind: len(requests) for kind, requests in asked.items()} == {"technical": 1, "sentiment": 1}
    assert asked["technical"][0].request_id == "c"


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("price_update", {"technical"}),
        ("news_update", {"sentiment"}),
        ("scheduled", {"technical", "sentiment"}),
    ],
)
def test_a_trigger_type_asks_its_analyzers(kind: Literal["scheduled"], asked: set[str]) -> None:
    assert set(coalesce([trigger("VCB", kind=kind)])) == asked


def test_each_analyzer_answers_what_concerns_it_and_passes_over_the_rest(
    handler: TriggerHandler, of_news: TriggerHandler, outputs: Any, records: Any
) -> None:
    values = [
        encode(trigger("VCB", prices(0, 3))),
        encode(trigger("FPT", OffsetRange(NEWS, 0, 0, 0), kind="news_update")),
        encode(trigger("HPG", kind="scheduled")),
    ]
    assert handler.handle([records(values, TRIGGERS, 1, 5)]) == {1: 8}
    assert [(sent.cause, sent.key) for sent in outputs.to(RESULTS)] == [(1, "VCB"), (1, "HPG")]
    outputs.sent.clear()
    assert of_news.handle([records(values, TRIGGERS, 1, 5)]) == {1: 8}
    assert [(sent.cause, sent.key) for sent in outputs.to(RESULTS)] == [(1, "FPT"), (1, "HPG")]


def test_a_result_belongs_to_the_partition_whose_triggers_asked_for_it(
    handler: TriggerHandler, technical: EchoPool, outputs: Any, records: Any
) -> None:
    """Also when somebody sends triggers of one symbol to several partitions."""
    handler.handle(
        [
            records(
                [encode(trigger("VCB", prices(0, 3))), encode(trigger("FPT", prices(1, 1)))], TRIGGERS, 0
            ),
            records([encode(trigger("VCB", prices(4, 6)))], TRIGGERS, 1),
            records([encode(trigger("HPG", prices(7, 7)))], TRIGGERS, 2),
        ]
    )
    assert sorted((sent.cause, sent.key) for sent in outputs.to(RESULTS)) == [
        (0, "FPT"),
        (0, "VCB"),
        (1, "VCB"),
        (2, "HPG"),
    ]
    assert [[request.symbol for request in call] for call in technical.calls] == [
        ["VCB", "FPT", "HPG"],
        ["VCB"],
    ]


def test_many_requests_are_asked_in_bounded_calls_urgent_ones_first(
    handler: TriggerHandler, technical: EchoPool, outputs: Any, records: Any
) -> None:
    symbols = [f"S{i:04d}" for i in range(REQUESTS_PER_CALL["technical"] + 3)]
    values = [encode(trigger(symbol, prices(i, i))) for i, symbol in enumerate(symbols)]
    values.append(encode(trigger("URG", prices(9_999, 9_999), priority="urgent")))
    handler.handle([records(values, TRIGGERS)])
    assert [len(call) for call in technical.calls] == [REQUESTS_PER_CALL["technical"], 4]
    assert technical.calls[0][0].symbol == "URG"
    assert len(outputs.to(RESULTS)) == len(symbols) + 1


def test_bad_triggers_are_dead_lettered_and_good_ones_are_answered(
    handler: TriggerHandler, outputs: Any, records: Any
) -> None:
    good = encode(trigger("VCB", prices(0, 0)))
    values = [
        b"nonsense",
        good,
        good.replace(b"price_update", b"full_moon"),
        good.replace(b"VCB", b"vcb"),
        None,
    ]
    assert handler.handle([records(values, TRIGGERS)]) == {0: 5}
    letters = outputs.to(f"{TRIGGERS}_dlq")
    assert [(sent.headers["original-offset"], sent.headers["reason"]) for sent in letters] == [
        ("0", "not-json"),
        ("2", "wrong-type"),
        ("3", "wrong-type"),
        ("4", "null-value"),
    ]
    assert [sent.value for sent in outputs.to(RESULTS)] == [b"VCB"]


def test_an_analyzer_that_is_away_fails_the_batch_and_the_next_attempt_answers_everything(
    handler: TriggerHandler, technical: EchoPool, outputs: Any, records: Any
) -> None:
    technical.errors = [AnalyzerUnavailable("warming up")]
    batch = records([encode(trigger("VCB", kind="scheduled"))], TRIGGERS)
    with pytest.raises(AnalyzerUnavailable):
        handler.handle([batch])
    assert outputs.sent == []
    assert handler.handle([batch]) == {0: 1}
    assert len(outputs.to(RESULTS)) == 1


def test_an_outage_of_an_analyzer_does_not_multiply_dead_letters(
    handler: TriggerHandler, technical: EchoPool, outputs: Any, records: Any
) -> None:
    technical.errors = [AnalyzerUnavailable("away")] * 3
    batch = records([encode(trigger("VCB")), b"nonsense"], TRIGGERS)
    for _ in range(3):
        with pytest.raises(AnalyzerUnavailable):
            handler.handle([batch])
    handler.handle([batch])
    assert len(outputs.to(f"{TRIGGERS}_dlq")) == 1


def test_a_batch_without_a_good_trigger_is_passed(handler: TriggerHandler, records: Any) -> None:
    assert handler.handle([records([b"1", b"2"], TRIGGERS, 2, 4)]) == {2: 6}


def test_only_one_of_those_that_read_a_bad_trigger_dead_letters_it(
    handler: TriggerHandler, of_news: TriggerHandler, outputs: Any, records: Any
) -> None:
    batch = records([b"nonsense"], TRIGGERS)
    assert handler.handle([batch]) == of_news.handle([batch]) == {0: 1}
    assert len(outputs.to(f"{TRIGGERS}_dlq")) == 1
