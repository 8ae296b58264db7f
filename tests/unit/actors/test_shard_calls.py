"""Which shard is asked for what, without Ray: the shards here are plain objects."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.exceptions import ActorDiedError, GetTimeoutError

from actors import shard_calls
from actors.analyzers import Answer
from actors.shard_calls import SentimentPool, ServingShards, TechnicalPool
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch, Series
from vnpulse.errors import AnalyzerUnavailable, StoreUnavailable
from vnpulse.kafka.partitioning import partition_of
from vnpulse.messages import VIETNAM, NewsItem, OffsetRange
from vnpulse.sharding import owners
from vnpulse.store.control import PoolState
from vnpulse.streaming.analyzer_pool import EncodedResult

SYMBOLS = ["FPT", "HPG", "VCB", "SSI", "VNINDEX", "MWG", "VIC"]


class Shards:
    """Answers for every shard; ``behind`` says which expect an earlier offset of a partition, ``away``
    which take no batch, and ``at_once`` how many requests one call answers."""

    def __init__(self) -> None:
        self.updates: dict[int, list[Any]] = {}
        self.requests: dict[int, list[AnalysisRequest]] = {}
        self.behind: dict[tuple[int, int], int] = {}
        self.away: set[int] = set()
        self.at_once = 1_000
        self.calls = 0

    def feed(self, arguments: dict[int, list[Any]]) -> dict[int, list[int] | None]:
        self.calls += len(arguments)
        self.updates = {shard: batches for shard, batches in arguments.items() if shard not in self.away}
        return {
            shard: [self.behind.get((shard, b.partition), b.next_offset) for b in batches]
            if shard in self.updates
            else None
            for shard, batches in arguments.items()
        }

    def ask(self, arguments: dict[int, list[AnalysisRequest]]) -> dict[int, Answer]:
        self.calls += len(arguments)
        answers = {}
        for shard, requests in arguments.items():
            answered = requests[: self.at_once]
            self.requests.setdefault(shard, []).extend(answered)
            results = [EncodedResult(request.symbol, f"{shard}".encode()) for request in answered]
            answers[shard] = Answer(results, len(answered))
        return answers


class LocalTechnicalPool(TechnicalPool):
    def __init__(self, shards: int, raw_partitions: int = 10) -> None:
        super().__init__(lambda: shards, "test", raw_partitions)
        self.shards = Shards()
        self._feed, self._ask = self.shards.feed, self.shards.ask  # type: ignore[method-assign]


class LocalSentimentPool(SentimentPool):
    def __init__(self, shards: int) -> None:
        super().__init__(lambda: shards, "test")
        self.shards = Shards()
        self._feed, self._ask = self.shards.feed, self.shards.ask  # type: ignore[method-assign]


def bars(partition: int, start: int = 0, following: int = 1) -> BarBatch:
    empty = np.empty(0)
    return BarBatch(
        "stock_prices_raw", partition, start, following, [Series("FPT", "1m")], empty.astype(np.int32),
        empty.astype(np.int64), np.empty((0, 4)), empty, empty.astype(np.bool_), empty.astype(np.int64),
        empty.astype(np.int64),
    )  # fmt: skip


def news(*about: tuple[str, ...], partition: int = 0) -> NewsBatch:
    at = dt.datetime(2025, 7, 28, 9, tzinfo=VIETNAM)
    items = [NewsItem(f"n{i}", None, "t", "", "s", "u", at, at) for i in range(len(about))]
    offsets = [100 + i for i in range(len(about))]
    return NewsBatch(
        "stock_news_raw", partition, 90, 100 + len(about), items, list(about), offsets,
        [o * 2 for o in offsets],
    )  # fmt: skip


def test_each_batch_goes_to_the_shard_of_its_partition_and_its_answer_comes_back_in_order() -> None:
    pool = LocalTechnicalPool(3)
    assert owners(10, 3) == (0, 0, 0, 2, 2, 2, 1, 1, 1, 1)
    pool.shards.behind = {(1, 7): 42, (2, 4): 5}
    batches = [bars(7, 50, 60), bars(0, 0, 10), bars(4, 20, 30), bars(2, 7, 9), bars(9, 1, 2)]
    assert pool.update(batches) == [42, 10, 5, 9, 2]
    assert {shard: [b.partition for b in got] for shard, got in pool.shards.updates.items()} == {
        1: [7, 9],
        0: [0, 2],
        2: [4],
    }
    assert pool.shards.calls == 3


def test_shards_without_a_batch_are_not_called() -> None:
    pool = LocalTechnicalPool(4)
    pool.update([bars(0), bars(1)])
    assert list(pool.shards.updates) == [0]
    assert pool.update([]) == []


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(SYMBOLS))
def test_the_latest_state_of_a_symbol_is_asked_of_the_shard_that_its_bars_go_to(
    shards: int, raw_partitions: int, symbol: str
) -> None:
    pool = LocalTechnicalPool(shards, raw_partitions)
    pool.update([bars(partition_of(symbol, raw_partitions))])
    pool.analyze([AnalysisRequest(symbol, "r")])
    assert set(pool.shards.requests) == set(pool.shards.updates)


def test_stretches_of_several_partitions_are_asked_of_the_shard_of_each() -> None:
    pool = LocalTechnicalPool(2)
    sources = [OffsetRange("stock_prices_raw", p, p, p + 1) for p in (0, 1, 2, 3, 5)]
    results = pool.analyze([AnalysisRequest("FPT", "r", tuple(sources))])
    assert {
        shard: [[s.partition for s in r.sources] for r in got] for shard, got in pool.shards.requests.items()
    } == {0: [[0, 1, 2, 3]], 1: [[5]]}
    assert {(r.symbol, r.request_id) for got in pool.shards.requests.values() for r in got} == {("FPT", "r")}
    assert len(results) == 2


def test_many_requests_are_one_call_a_shard() -> None:
    pool = LocalTechnicalPool(2)
    pool.analyze([AnalysisRequest(symbol, "r") for symbol in SYMBOLS * 10])
    assert pool.shards.calls <= 2


@given(
    st.integers(1, 5),
    st.lists(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4, unique=True), max_size=8),
)
def test_every_sentiment_shard_gets_every_article_and_one_is_asked_about_a_symbol(
    shards: int, about: list[list[str]]
) -> None:
    pool = LocalSentimentPool(shards)
    batch = news(*map(tuple, about))
    assert pool.update([batch]) == [batch.next_offset]
    assert {shard: part[0] is batch for shard, [*part] in pool.shards.updates.items()} == dict.fromkeys(
        range(shards), True
    )
    for symbol in SYMBOLS:
        pool.shards.requests.clear()
        pool.analyze([AnalysisRequest(symbol, "r"), AnalysisRequest(symbol, "s")])
        assert len(pool.shards.requests) == 1


def test_batches_that_a_shard_does_not_take_are_named() -> None:
    pool = LocalTechnicalPool(2)
    pool.shards.away = {1}
    assert pool.update([bars(0, 0, 10), bars(9, 0, 20), bars(2, 0, 30)]) == [10, None, 30]
    readers = LocalSentimentPool(2)
    readers.shards.away = {1}
    assert readers.update([news(("FPT",))]) == [101]
    readers.shards.away = {0, 1}
    assert readers.update([news(("FPT",))]) == [None]


class SlowShards:
    """Ray, as far as handing over goes: calls of ``update`` are answered when a test says so."""

    def __init__(self) -> None:
        self.given: list[list[BarBatch]] = []
        self.answers: dict[int, list[int] | Exception] = {}

    def get_actor(self, name: str, namespace: str) -> Any:
        return SimpleNamespace(update=SimpleNamespace(remote=self._update))

    def _update(self, batches: list[BarBatch]) -> int:
        self.given.append(batches)
        return len(self.given) - 1

    def wait(self, pending: list[int], timeout: float) -> tuple[list[int], list[int]]:
        done = [call for call in pending if call in self.answers]
        return done, [call for call in pending if call not in self.answers]

    def get(self, call: int, timeout: float | None) -> list[int]:
        if call not in self.answers:
            raise GetTimeoutError
        answer = self.answers[call]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowShards:
    shards = SlowShards()
    monkeypatch.setattr(shard_calls, "ray", shards)
    return shards


def test_a_shard_that_has_not_answered_is_left_in_peace_and_believed_when_it_has(slow: SlowShards) -> None:
    pool = TechnicalPool(lambda: 1, "test", 10)
    assert pool.update([bars(0, 0, 10), bars(1, 5, 6)]) == [None, None]
    assert pool.update([bars(0, 0, 0), bars(1, 5, 5)]) == [None, None]
    assert pool.update([bars(2, 7, 8)]) == [None]
    assert len(slow.given) == 1
    slow.answers = {0: [10, 6]}
    # What it took is known without a call; who offers finds out.
    assert pool.update([bars(0, 0, 0)]) == [10]
    slow.answers |= {1: [6, 8]}
    assert pool.update([bars(1, 6, 7), bars(2, 7, 8)]) == [6, 8]
    assert [(b.partition, b.start_offset) for b in slow.given[1]] == [(1, 6), (2, 7)]
    slow.answers |= {2: [9]}
    assert pool.update([bars(1, 5, 5)]) == [9]
    assert len(slow.given) == 3


def test_questions_and_offers_of_one_call_are_answered_each_in_its_place(slow: SlowShards) -> None:
    pool = TechnicalPool(lambda: 1, "test", 10)
    pool.update([bars(0, 0, 10), bars(1, 5, 6)])
    slow.answers = {0: [10, 6], 1: [30, 8]}
    assert pool.update([bars(3, 20, 30), bars(1, 5, 5), bars(0, 0, 0), bars(2, 7, 8)]) == [30, 6, 10, 8]
    assert [b.partition for b in slow.given[1]] == [3, 2]


@pytest.mark.parametrize("error", [AnalyzerUnavailable("it is warming up"), ActorDiedError()])
def test_a_late_answer_that_is_an_error_says_nothing(slow: SlowShards, error: Exception) -> None:
    pool = TechnicalPool(lambda: 1, "test", 10)
    pool.update([bars(0, 0, 10)])
    slow.answers = {0: error, 1: [0]}
    assert pool.update([bars(0, 0, 0)]) == [0]
    assert len(slow.given) == 2


def test_a_shard_that_answers_in_parts_is_asked_until_all_is_answered() -> None:
    pool = LocalTechnicalPool(2)
    pool.shards.at_once = 3
    requests = [AnalysisRequest(symbol, f"{i}") for i in range(5) for symbol in SYMBOLS]
    results = pool.analyze(requests)
    assert sorted(r.symbol for r in results) == sorted(r.symbol for r in requests)
    asked = [r for got in pool.shards.requests.values() for r in got]
    assert sorted(asked, key=str) == sorted(requests, key=str)
    for got in pool.shards.requests.values():
        assert got == [r for r in requests if r in got]


def test_a_news_partition_is_as_far_as_its_slowest_shard() -> None:
    pool = LocalSentimentPool(3)
    pool.shards.behind = {(1, 0): 7, (2, 1): 3}
    assert pool.update([news(("FPT",)), news(("HPG",), partition=1), news(("VCB",), partition=2)]) == [
        7,
        3,
        101,
    ]


@pytest.mark.parametrize("pool", [LocalTechnicalPool(3), LocalSentimentPool(3)])
def test_no_requests_are_no_calls(pool: Any) -> None:
    assert pool.analyze([]) == []
    assert pool.shards.calls == 0


def test_a_shard_that_is_being_replaced_is_looked_for_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shard_calls, "LOOK_AGAIN_S", 0.0)
    pool = LocalTechnicalPool(2)
    pool.shards.at_once = 3
    away = [AnalyzerUnavailable("technical/0 is not running")] * 3
    answering = pool.shards.ask

    def ask(arguments: dict[int, list[AnalysisRequest]]) -> dict[int, Answer]:
        if away and len(pool.shards.requests) > 0:
            raise away.pop()
        return answering(arguments)

    pool._ask = ask  # type: ignore[method-assign]
    results = pool.analyze([AnalysisRequest(symbol, "r") for symbol in SYMBOLS])
    assert sorted(result.symbol for result in results) == sorted(SYMBOLS)
    monkeypatch.setattr(shard_calls, "REPLACED_WITHIN_S", 0.0)
    away += [AnalyzerUnavailable("technical/0 is not running")]
    with pytest.raises(AnalyzerUnavailable):
        pool.analyze([AnalysisRequest("FPT", "r")])


def test_how_many_shards_serve_is_read_now_and_then_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Control:
        state: Any = None

        def pool(self, kind: str) -> Any:
            if isinstance(self.state, Exception):
                raise self.state
            return self.state

    control = Control()
    serving = ServingShards("technical", control, otherwise=1)  # type: ignore[arg-type]
    control.state = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        serving()
    control.state = None
    assert serving() == 1
    control.state = PoolState(serving=2, wanted=3)
    assert serving() == 1
    monkeypatch.setattr(shard_calls, "SERVING_FOR_S", 0.0)
    serving._due_s = 0.0
    assert serving() == 2
    control.state = StoreUnavailable("away")
    assert serving() == 2
