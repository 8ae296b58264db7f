from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.analysis import AnalysisRequest, Analyzer
from vnpulse.batches import NewsBatch
from vnpulse.errors import StoreUnavailable
from vnpulse.ids import derived_id
from vnpulse.messages import VIETNAM, AnalysisResult, NewsItem, OffsetRange, RecordRef, encode
from vnpulse.sentiment import analyzer as analyzer_module
from vnpulse.sentiment.analyzer import SentimentAnalyzer
from vnpulse.sentiment.classification import Classification, from_probabilities
from vnpulse.sentiment.settings import Reads, SentimentSettings

TOPIC = "stock_news_raw"
NINE = dt.datetime(2025, 7, 28, 9, tzinfo=VIETNAM)

_ANSWERS = {
    "good": from_probabilities(0.0, 0.2, 0.8),
    "bad": from_probabilities(0.7, 0.2, 0.1),
    "flat": from_probabilities(0.1, 0.8, 0.1),
}


class FirstWordModel:
    """Answers by a text's first word and notes what it was asked."""

    version = "fake/1"

    def __init__(self, reads: Reads = "article") -> None:
        self.reads = reads
        self.calls: list[list[str]] = []

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        self.calls.append(list(texts))
        return [_ANSWERS[text.split()[0]] for text in texts]


class ListHistory:
    """A store that holds these rows; ``recent_news`` notes since when it was asked."""

    def __init__(self, rows: Sequence[tuple[NewsItem, tuple[str, ...], int, int, int]] = ()) -> None:
        self.rows = list(rows)
        self.through: dict[int, int] = {}
        self.since_ms: int | None = None
        self.fails = False
        """After the first row."""

    def newest_append_ms(self) -> int | None:
        return max((row[4] for row in self.rows), default=None)

    def recent_news(self, since_ms: int) -> Iterator[tuple[NewsItem, tuple[str, ...], int, int, int]]:
        self.since_ms = since_ms
        for row in self.rows:
            yield row
            if self.fails:
                raise StoreUnavailable("away")

    def stored_through(self, topic: str) -> dict[int, int]:
        assert topic == TOPIC
        return dict(self.through)


def item(news_id: str, title: str, minute: float, content: str = "") -> NewsItem:
    published = NINE + dt.timedelta(minutes=minute)
    return NewsItem(
        news_id=news_id,
        symbol="HPG",
        title=title,
        content=content,
        source="s",
        source_url="u",
        published_at=published,
        collected_at=published,
    )


def batch(
    *items: NewsItem,
    start: int = 0,
    partition: int = 0,
    symbols: tuple[str, ...] = ("HPG",),
    end: int | None = None,
) -> NewsBatch:
    offsets = list(range(start, start + len(items)))
    return NewsBatch(
        topic=TOPIC,
        partition=partition,
        start_offset=start,
        next_offset=start + len(items) if end is None else end,
        items=list(items),
        symbols=[symbols] * len(items),
        offsets=offsets,
        append_ms=[1_000 + offset for offset in offsets],
    )


def ask(
    first: int, last: int, symbol: str = "HPG", partition: int = 0, request_id: str = "r"
) -> AnalysisRequest:
    return AnalysisRequest(symbol, request_id, (OffsetRange(TOPIC, partition, first, last),))


def started(
    history: ListHistory | None = None,
    reads: Reads = "article",
    weights: Mapping[str, Mapping[str, float]] | None = None,
    **settings: object,
) -> tuple[SentimentAnalyzer, FirstWordModel]:
    model = FirstWordModel(reads)
    analyzer = SentimentAnalyzer(
        SentimentSettings.model_validate(settings),
        model,
        history or ListHistory(),
        TOPIC,
        lambda item: (weights or {}).get(item.news_id, {"HPG": 1.0}),
    )
    analyzer.start()
    return analyzer, model


def facts(results: Sequence[AnalysisResult]) -> list[object]:
    """Everything of the results but how long they took."""
    return [
        msgspec.structs.replace(r, metadata=msgspec.structs.replace(r.metadata, processing_time=0.0))
        for r in results
    ]


def test_it_is_an_analyzer() -> None:
    analyzer: Analyzer = started()[0]
    assert analyzer.analysis_type == "sentiment"


def test_one_article_gives_its_own_score() -> None:
    analyzer, _ = started()
    assert analyzer.update(batch(item("a", "good news", 0), start=5)) == 6
    (result,) = analyzer.analyze([ask(5, 5)])
    assert result.result_id == derived_id("sentiment", "HPG", TOPIC, 0, 5)
    assert result.timestamp == NINE
    assert result.timestamp.utcoffset() == dt.timedelta(hours=7)
    assert result.metadata.source == RecordRef(TOPIC, 0, 5, 1_005)
    assert result.metadata.model_version == "fake/1"
    assert result.results.score == pytest.approx(0.8)
    assert result.results.confidence == pytest.approx(0.8 * 1 / 2)
    assert result.results.details["count"] == 1
    (shown,) = result.results.details["articles"]
    assert shown == {
        "news_id": "a",
        "title": "good news",
        "reader": "fake/1",
        "label": "positive",
        "score": 0.8,
        "weight": 1.0,
        "symbols": {"HPG": 1.0},
        "probabilities": {"negative": 0.0, "neutral": 0.2, "positive": 0.8},
    }
    assert encode(result)


def test_the_decay_by_hand() -> None:
    analyzer, _ = started(half_life_minutes=60)
    analyzer.update(batch(item("a", "good", 0), item("b", "bad", 60), item("c", "bad", 120)))
    result = analyzer.analyze([ask(2, 2)])[0]
    # Weights a quarter, a half and one; scores 0.8, -0.6, -0.6.
    mean = (0.25 * 0.8 + 0.5 * -0.6 + 1 * -0.6) / 1.75
    spread = math.sqrt((0.25 * (0.8 - mean) ** 2 + 1.5 * (-0.6 - mean) ** 2) / 1.75)
    certainty = (0.25 * 0.8 + 1.5 * 0.7) / 1.75
    assert result.results.score == pytest.approx(mean, abs=1e-6)
    assert result.results.confidence == pytest.approx(certainty * (1 - spread) * 1.75 / 2.75, abs=1e-6)
    assert [a["weight"] for a in result.results.details["articles"]] == [1.0, 0.5, 0.25]


def test_an_article_counts_as_much_as_it_is_about_the_symbol() -> None:
    analyzer, _ = started(weights={"a": {"HPG": 0.25, "VIC": 1.0}})
    analyzer.update(batch(item("a", "good", 0), symbols=("HPG", "VIC")))
    analyzer.update(batch(item("b", "bad", 0), start=1))
    (result,) = analyzer.analyze([ask(1, 1)])
    assert result.results.score == pytest.approx((0.25 * 0.8 - 0.6) / 1.25)
    assert result.results.details["evidence"] == 1.25
    assert [(a["news_id"], a["weight"]) for a in result.results.details["articles"]] == [
        ("b", 1.0),
        ("a", 0.25),
    ]
    assert result.results.details["articles"][1]["symbols"] == {"HPG": 0.25, "VIC": 1.0}
    passing, central = (analyzer.analyze([ask(0, 0, symbol)])[0].results for symbol in ("HPG", "VIC"))
    assert passing.score == central.score == pytest.approx(0.8)
    assert passing.confidence < central.confidence, "a mention in passing says little"


def test_few_articles_lower_the_confidence() -> None:
    analyzer, _ = started()
    analyzer.update(batch(*(item(f"n{i}", f"good {i}", 0) for i in range(4))))
    confidences = [r.results.confidence for r in analyzer.analyze([ask(0, 3)])]
    assert confidences == sorted(confidences)
    assert confidences[0] == pytest.approx(0.8 / 2)
    assert confidences[3] == pytest.approx(0.8 * 4 / 5)


def test_disagreement_lowers_the_confidence() -> None:
    agreed, _ = started()
    agreed.update(batch(item("a", "good 1", 0), item("b", "good 2", 1)))
    torn, _ = started()
    torn.update(batch(item("a", "bad 1", 0), item("b", "good 2", 1)))
    confident, doubtful = (a.analyze([ask(1, 1)])[0].results.confidence for a in (agreed, torn))
    assert confident > doubtful


def test_an_article_is_judged_as_of_itself() -> None:
    analyzer, _ = started()
    analyzer.update(batch(item("a", "good", 0), item("b", "bad", 10), item("late", "bad", -30)))
    first, second, late = sorted(analyzer.analyze([ask(0, 2)]), key=lambda r: r.metadata.source.offset)  # type: ignore[union-attr]
    assert first.results.details["count"] == 1, "the late one was not there yet"
    assert second.results.details["count"] == 2
    assert late.results.details["count"] == 1, "nothing was published before it"


def test_results_come_by_symbol_and_event_time() -> None:
    analyzer, model = started()
    analyzer.update(batch(item("a", "good 1", 5), item("b", "bad 2", 1), symbols=("VIC", "HPG")))
    results = analyzer.analyze([ask(0, 1, "VIC"), ask(0, 1, "HPG"), ask(0, 0, "HPG", request_id="again")])
    assert [(r.symbol, r.timestamp.minute) for r in results] == [
        ("HPG", 1),
        ("HPG", 5),
        ("VIC", 1),
        ("VIC", 5),
    ]
    assert len(model.calls) == 1, "the model reads once for all requests"
    assert sorted(model.calls[0]) == ["bad 2", "good 1"], "and each text once"
    assert analyzer.symbols() == ["HPG", "VIC"]


def test_without_sources_the_latest_state() -> None:
    analyzer, _ = started()
    analyzer.update(batch(item("a", "good", 0), item("b", "bad", 10), item("late", "bad", -30)))
    (result,) = analyzer.analyze([AnalysisRequest("HPG", "r1")])
    assert result.result_id == derived_id("sentiment", "HPG", "r1")
    assert result.timestamp == NINE + dt.timedelta(minutes=10)
    assert result.results.details["count"] == 3
    assert analyzer.analyze([AnalysisRequest("VIC", "r1")]) == []


def test_what_was_stored_and_not_handed_over_is_loaded_when_it_is_asked_for() -> None:
    history = ListHistory()
    analyzer, _ = started(history)
    assert analyzer.update(batch(item("a", "good", 0))) == 1
    assert analyzer.analyze([ask(1, 1)]) == []
    history.rows = [(item(name, "good", n), ("HPG",), 0, n, 1_000 + n) for n, name in enumerate("ab")]
    history.through = {0: 2}
    (result,) = analyzer.analyze([ask(1, 1)])
    assert result.results.details["count"] == 2
    assert analyzer.counters()["catch_ups"] == 1
    assert analyzer.update(batch(item("c", "good", 2), start=2)) == 3


def test_many_texts_are_read_in_parts_and_each_part_is_progress() -> None:
    progress: list[int] = []
    model = FirstWordModel("article")
    analyzer = SentimentAnalyzer(
        SentimentSettings(),
        model,
        ListHistory(),
        TOPIC,
        lambda _: {},
        lambda: progress.append(len(model.calls)),
    )
    analyzer.start()
    analyzer.update(batch(*(item(f"n{i}", f"good {i}", i) for i in range(150))))
    assert len(analyzer.analyze([ask(0, 149)])) == 150
    assert [len(call) for call in model.calls] == [64, 64, 22]
    assert progress == [1, 2, 3]


def test_a_gap_is_answered_with_what_is_expected() -> None:
    analyzer, _ = started()
    assert analyzer.update(batch(item("a", "good", 0))) == 1
    assert analyzer.update(batch(item("c", "good", 2), start=2)) == 1, "not applied"
    assert analyzer.analyze([ask(2, 2)]) == []
    assert analyzer.counters()["gaps"] == 1
    assert analyzer.update(batch(item("b", "good", 1), item("c", "good", 2), start=1)) == 3
    assert len(analyzer.analyze([ask(0, 9)])) == 3


def test_who_has_missed_very_much_loads_everything_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzer_module, "LONGEST_REPLAY", 2)
    history = ListHistory()
    analyzer, _ = started(history)
    assert analyzer.update(batch(item("a", "good", 0))) == 1
    items = [item(name, "good", n) for n, name in enumerate("abcde")]
    history.rows = [(each, ("HPG",), 0, n, 1_000 + n) for n, each in enumerate(items)]
    history.through = {0: 5}
    assert analyzer.update(batch(items[4], start=4)) == 5
    assert len(analyzer.analyze([ask(0, 9)])) == 5


def test_a_store_that_goes_away_while_it_is_read_costs_no_article() -> None:
    history = ListHistory()
    analyzer, _ = started(history)
    analyzer.update(batch(item("a", "good", 0)))
    history.rows = [(item(name, "good", n), ("HPG",), 0, n, 1_000 + n) for n, name in enumerate("ab")]
    history.through = {0: 2}
    history.fails = True
    with pytest.raises(StoreUnavailable):
        analyzer.analyze([ask(0, 1)])
    history.fails = False
    assert len(analyzer.analyze([ask(0, 1)])) == 2


def test_redelivery_changes_nothing() -> None:
    analyzer, _ = started()
    whole = batch(item("a", "good", 0), item("b", "bad", 1), item("c", "flat", 2))
    analyzer.update(whole)
    before = facts(analyzer.analyze([ask(0, 9)]))
    assert analyzer.update(whole) == 3
    assert analyzer.update(batch(item("b", "bad", 1), start=1)) == 3
    assert facts(analyzer.analyze([ask(0, 9)])) == before


def test_a_batch_covers_its_holes() -> None:
    analyzer, _ = started()
    assert analyzer.update(batch(item("a", "good", 0), end=7)) == 7
    assert analyzer.update(batch(start=7, end=9)) == 9


def test_another_topic_is_refused() -> None:
    analyzer, _ = started()
    with pytest.raises(ValueError, match="must be 'stock_news_raw'"):
        analyzer.update(NewsBatch("other", 0, 0, 0, [], [], [], []))


def test_the_same_article_again_counts_once() -> None:
    analyzer, _ = started()
    analyzer.update(batch(item("a", "good", 0), item("a", "good", 0)))
    (result,) = analyzer.analyze([ask(0, 1)])
    assert result.results.details["count"] == 1
    assert result.metadata.source == RecordRef(TOPIC, 0, 0, 1_000)
    assert analyzer.counters()["duplicates"] == 1


def test_an_edit_replaces_and_the_past_stays_as_it_was() -> None:
    analyzer, _ = started()
    analyzer.update(batch(item("a", "good", 0), item("b", "flat", 1)))
    before = facts(analyzer.analyze([ask(0, 1)]))
    analyzer.update(batch(item("a", "bad", 0), start=2))
    assert facts(analyzer.analyze([ask(0, 1)])) == before
    (edited,) = analyzer.analyze([ask(2, 2)])
    assert edited.results.score == pytest.approx(-0.6)
    (latest,) = analyzer.analyze([AnalysisRequest("HPG", "r")])
    assert latest.results.details["count"] == 2
    assert {a["label"] for a in latest.results.details["articles"]} == {"negative", "neutral"}
    assert analyzer.counters()["edits"] == 1


def test_an_edit_that_no_longer_names_a_symbol_leaves_it() -> None:
    analyzer, _ = started()
    analyzer.update(batch(item("a", "good", 0), symbols=("HPG", "VIC")))
    analyzer.update(batch(item("a", "bad", 0), start=1, symbols=("HPG",)))
    assert analyzer.analyze([AnalysisRequest("VIC", "r")]) == []
    assert len(analyzer.analyze([ask(0, 0, "VIC")])) == 1


def test_an_edit_in_another_partition_does_not_unsay_the_past() -> None:
    analyzer, _ = started()
    analyzer.update(batch(item("a", "good", 0)))
    analyzer.update(batch(item("a", "bad", 0), partition=1, start=9))
    (old,) = analyzer.analyze([ask(0, 0)])
    (new,) = analyzer.analyze([ask(9, 9, partition=1)])
    assert old.results.score == pytest.approx(0.8)
    assert new.results.score == pytest.approx(-0.6)


def test_history_is_bounded_and_drops_the_oldest() -> None:
    analyzer, _ = started(history_articles=3)
    analyzer.update(batch(*(item(f"n{i}", f"good {i}", i) for i in range(10))))
    assert [r.metadata.source.offset for r in analyzer.analyze([ask(0, 99)]) if r.metadata.source] == [
        7,
        8,
        9,
    ]
    assert analyzer.counters()["held"] == 3
    analyzer.update(batch(item("n0", "good 0", 0), start=10))
    assert analyzer.counters()["duplicates"] == 0, "what was dropped is forgotten"


def test_the_article_itself_comes_first_then_the_weightiest() -> None:
    analyzer, _ = started(half_life_minutes=10)
    analyzer.update(batch(*(item(f"n{i}", f"good {i}", i) for i in range(8)), item("x", "bad", 7)))
    (result,) = analyzer.analyze([ask(8, 8)])
    shown = [a["news_id"] for a in result.results.details["articles"]]
    assert shown == ["x", "n7", "n6", "n5", "n4"]
    assert result.results.details["count"] == 9


def test_equal_texts_are_read_once_and_remembered() -> None:
    analyzer, model = started()
    analyzer.update(batch(item("a", "good", 0), item("b", "good", 1)))
    analyzer.analyze([ask(0, 1)])
    analyzer.start()
    analyzer.update(batch(item("a", "good", 0)))
    analyzer.analyze([ask(0, 0)])
    assert model.calls == [["good"]]
    assert analyzer.counters()["cache_hits"] == 1


@pytest.mark.parametrize(("reads", "text"), [("article", "good\nbody"), ("headline", "good")])
def test_what_the_model_reads(reads: Reads, text: str) -> None:
    analyzer, model = started(reads=reads)
    analyzer.update(batch(item("a", "<b>good</b>", 0, "<p>body</p>")))
    analyzer.analyze([ask(0, 0)])
    assert model.calls == [[text]]


def test_warm_up_then_the_log() -> None:
    history = ListHistory(
        [(item("old", "bad", -100), ("HPG",), 0, 3, 1_003), (item("file", "good", -90), ("HPG",), -1, -1, 0)]
    )
    history.through = {0: 4}
    analyzer, model = started(history, warmup_days=2)
    assert history.since_ms == 1_003 - 2 * 86_400_000, "counted from the newest append, not from now"
    assert model.calls == [], "reading waits until it is asked for"
    assert analyzer.update(batch(item("new", "good", 0), start=6)) == 4, "the log starts where the store ends"
    assert analyzer.update(batch(item("old", "bad", -100), item("new", "good", 0), start=3)) == 5
    (result,) = analyzer.analyze([ask(4, 4)])
    assert result.results.details["count"] == 3
    assert analyzer.counters()["skipped"] == 1


def test_what_the_store_knew_first_gets_its_place_in_the_log() -> None:
    history = ListHistory([(item("a", "good", 0), ("HPG",), -1, -1, 0)])
    analyzer, _ = started(history)
    analyzer.update(batch(item("a", "good", 0), start=4))
    assert len(analyzer.analyze([ask(4, 4)])) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.sampled_from(["good", "bad", "flat"]),
            st.integers(min_value=0, max_value=40),
        ),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_results_depend_on_the_log_and_not_on_coalescing(
    rows: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """One article at a time, asked at once, or in any batches, asked at the end: the same results."""
    items = [item(news_id, title, minute) for news_id, title, minute in rows]
    stepwise, _ = started()
    one_by_one: list[AnalysisResult] = []
    for offset, single in enumerate(items):
        stepwise.update(batch(single, start=offset))
        one_by_one += stepwise.analyze([ask(offset, offset)])
    whole, _ = started()
    start = 0
    while start < len(items):
        size = data.draw(st.integers(min_value=1, max_value=len(items)))
        again = data.draw(st.integers(min_value=0, max_value=start))
        whole.update(batch(*items[again : start + size], start=again))
        start += size
    assert sorted(map(repr, facts(one_by_one))) == sorted(map(repr, facts(whole.analyze([ask(0, 99)]))))
