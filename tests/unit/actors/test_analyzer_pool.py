"""Which shard is asked for what, without Ray: the shards here are plain objects."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.analyzer_pool import SentimentPool, TechnicalPool
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch, Series
from vnpulse.kafka.partitioning import partition_of
from vnpulse.messages import VIETNAM, NewsItem, OffsetRange
from vnpulse.streaming.analyzer_pool import EncodedResult

SYMBOLS = ["FPT", "HPG", "VCB", "SSI", "VNINDEX", "MWG", "VIC"]


class Shards:
    """Answers for every shard; ``behind`` says which expect an earlier offset of a partition."""

    def __init__(self) -> None:
        self.updates: dict[int, list[Any]] = {}
        self.requests: dict[int, list[AnalysisRequest]] = {}
        self.behind: dict[tuple[int, int], int] = {}
        self.calls = 0

    def answer(self, method: str, shard: int, argument: list[Any]) -> list[Any]:
        self.calls += 1
        if method == "update":
            self.updates[shard] = argument
            return [self.behind.get((shard, b.partition), b.next_offset) for b in argument]
        self.requests[shard] = argument
        return [EncodedResult(request.symbol, f"{shard}".encode()) for request in argument]


class LocalTechnicalPool(TechnicalPool):
    def __init__(self, shards: int, raw_partitions: int = 10) -> None:
        super().__init__(shards, "test", raw_partitions)
        self.shards = Shards()

    def _call(self, method: str, arguments: dict[int, Any]) -> dict[int, Any]:
        return {shard: self.shards.answer(method, shard, a) for shard, a in arguments.items()}


class LocalSentimentPool(SentimentPool):
    def __init__(self, shards: int) -> None:
        super().__init__(shards, "test")
        self.shards = Shards()

    def _call(self, method: str, arguments: dict[int, Any]) -> dict[int, Any]:
        return {shard: self.shards.answer(method, shard, a) for shard, a in arguments.items()}


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
    pool.shards.behind = {(1, 7): 42, (2, 2): 5}
    batches = [bars(7, 50, 60), bars(0, 0, 10), bars(2, 20, 30), bars(3, 7, 9), bars(1, 1, 2)]
    assert pool.update(batches) == [42, 10, 5, 9, 2]
    assert {shard: [b.partition for b in got] for shard, got in pool.shards.updates.items()} == {
        1: [7, 1],
        0: [0, 3],
        2: [2],
    }
    assert pool.shards.calls == 3


def test_shards_without_a_batch_are_not_called() -> None:
    pool = LocalTechnicalPool(4)
    pool.update([bars(1), bars(5)])
    assert list(pool.shards.updates) == [1]
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
    } == {0: [[0, 2]], 1: [[1, 3, 5]]}
    assert {(r.symbol, r.request_id) for got in pool.shards.requests.values() for r in got} == {("FPT", "r")}
    assert len(results) == 2


def test_many_requests_are_one_call_a_shard() -> None:
    pool = LocalTechnicalPool(2)
    pool.analyze([AnalysisRequest(symbol, "r") for symbol in SYMBOLS * 10])
    assert pool.shards.calls <= 2


def test_a_single_sentiment_shard_gets_the_batch_as_it_is() -> None:
    pool = LocalSentimentPool(1)
    batch = news(("FPT",), ("HPG", "VCB"))
    assert pool.update([batch]) == [102]
    assert pool.shards.updates[0][0] is batch


@given(
    st.integers(2, 5),
    st.lists(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4, unique=True), max_size=8),
)
def test_every_article_reaches_the_shard_of_each_of_its_symbols_and_no_other(
    shards: int, about: list[list[str]]
) -> None:
    pool = LocalSentimentPool(shards)
    batch = news(*map(tuple, about))
    pool.update([batch])
    assert set(pool.shards.updates) == set(range(shards))
    seen: list[tuple[str, str]] = []
    for shard, [part] in pool.shards.updates.items():
        assert (part.start_offset, part.next_offset) == (batch.start_offset, batch.next_offset)
        assert len(part.items) == len(part.symbols) == len(part.offsets) == len(part.append_ms)
        assert part.append_ms == [o * 2 for o in part.offsets]
        for item, symbols, offset in zip(part.items, part.symbols, part.offsets, strict=True):
            assert item is batch.items[offset - 100]
            assert symbols
            for symbol in symbols:
                pool.analyze([AnalysisRequest(symbol, "r")])
                assert list(pool.shards.requests) == [shard]
                pool.shards.requests.clear()
                seen.append((item.news_id, symbol))
    wanted = [(f"n{i}", symbol) for i, symbols in enumerate(about) for symbol in symbols]
    assert sorted(seen) == sorted(wanted)


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
