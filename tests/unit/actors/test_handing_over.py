"""Shards that come, go and die while bars flow: every bar has one result, that of an only analyzer.

Without Ray and threads: the actors are plain objects, the store is a list, and who feeds and who asks
learn late, each in its own time, how many shards serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.analyzers import Answer, Shard, TechnicalActor
from actors.shard_calls import TechnicalPool
from tests.unit.pipelines.test_wiring import settings as settings_of
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, Series
from vnpulse.errors import AnalyzerUnavailable
from vnpulse.kafka.partitioning import partition_of
from vnpulse.market import load_market
from vnpulse.messages import OffsetRange
from vnpulse.technical.analyzer import TechnicalAnalyzer
from vnpulse.technical.settings import TechnicalSettings

TOPIC, PARTITIONS = "stock_prices_raw", 6
SYMBOLS = ["FPT", "HPG", "VCB", "SSI", "MWG", "VIC", "VNM", "ACB"]
OPENING_MS = 1_753_668_900_000
SMALL = TechnicalSettings(history_bars=64)


def made(partition: int, first: int, minute: int, symbols: Sequence[str]) -> BarBatch:
    """Return one closed bar of each symbol, as records from offset ``first`` on."""
    n = len(symbols)
    close = np.array([25.0 + ((minute * 7 + len(s) + ord(s[0])) % 11) / 10 for s in symbols])
    return BarBatch(
        TOPIC, partition, first, first + n, [Series(symbol, "1m") for symbol in symbols],
        np.arange(n, dtype=np.int32), np.full(n, OPENING_MS + minute * 60_000, np.int64),
        np.stack((close, close + 0.1, close - 0.1, close), axis=1), np.full(n, 100.0 + minute),
        np.ones(n, np.bool_), np.arange(first, first + n), np.full(n, OPENING_MS, np.int64),
    )  # fmt: skip


@dataclass
class Store:
    """A BarHistory of whatever was written."""

    written: dict[int, list[BarBatch]] = field(default_factory=lambda: {p: [] for p in range(PARTITIONS)})

    def latest_bars(
        self, intervals: Sequence[str], count: int, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[BarBatch]:
        if "1m" not in intervals:
            return
        for batches in self.written.values():
            for batch in batches:
                kept = [row for row, s in enumerate(batch.series) if wanted is None or wanted(s.symbol)]
                if kept:
                    yield batch.rows(np.array(kept))

    def symbols(self, intervals: Sequence[str]) -> set[str]:
        return {s.symbol for batches in self.written.values() for b in batches for s in b.series}

    def stored_through(self, topic: str) -> dict[int, int]:
        return {p: batches[-1].next_offset for p, batches in self.written.items() if batches}


class World(TechnicalPool):
    """The actors, the way to them, and a feeder and an asker of every partition."""

    def __init__(self) -> None:
        super().__init__(lambda: self.route, "test", PARTITIONS)
        self.store = Store()
        self.serving = self.wanted = 1
        self.deaf: set[int] = set()
        self.actors: dict[int, TechnicalActor] = {}
        self.feeders_route = self.askers_route = self.route = 1
        self.feeding: dict[int, int] = {}
        self.results: list[Any] = []
        self.minute = 0
        self.make(0)

    def make(self, number: int) -> None:
        world = self

        class Local(TechnicalActor):
            def _make(self) -> TechnicalAnalyzer:
                return TechnicalAnalyzer(SMALL, world.store, TOPIC, load_market(), {})

            def _numbers(self) -> set[int]:
                return {world.serving, world.wanted}

        self.actors[number] = Local(settings_of(), Shard("technical", number, PARTITIONS))
        self.actors[number].start()

    def _feed(self, arguments: dict[int, list[Any]]) -> dict[int, list[int] | None]:
        answers: dict[int, list[int] | None] = dict.fromkeys(arguments)
        for shard, batches in arguments.items():
            if shard in self.actors and shard not in self.deaf:
                with suppress(AnalyzerUnavailable):
                    answers[shard] = self.actors[shard].update(batches)
        return answers

    def _ask(self, arguments: dict[int, list[AnalysisRequest]]) -> dict[int, Answer]:
        for shard in arguments:
            if shard not in self.actors:
                self.askers_route = self.route = self.serving  # it tries again, and looks
                return self._ask(arguments) if shard in self.actors else {}
        return {shard: self.actors[shard].analyze(requests) for shard, requests in arguments.items()}

    def bars(self) -> None:
        """A minute of all symbols: stored, handed over, asked about."""
        self.minute += 1
        for partition in range(PARTITIONS):
            symbols = [s for s in SYMBOLS if partition_of(s, PARTITIONS) == partition]
            if not symbols:
                continue
            log = self.store.written[partition]
            first = log[-1].next_offset if log else 0
            log.append(made(partition, first, self.minute, symbols))
            self.hand_over(partition)
            self.ask(log[-1])

    def hand_over(self, partition: int) -> None:
        """What a consumer does: offer what was not taken; go back once if something before it is missing."""
        self.route = self.feeders_route
        at = self.feeding.get(partition, 0)
        went_back = False
        while batches := [b for b in self.store.written[partition] if b.start_offset >= at]:
            answer = self.update(batches[:1])[0]
            if answer is None or (answer < at and went_back):
                break
            went_back = went_back or answer < at
            at = answer if answer < at else batches[0].next_offset
        self.feeding[partition] = at

    def ask(self, batch: BarBatch) -> None:
        source = OffsetRange(TOPIC, batch.partition, batch.start_offset, batch.next_offset - 1)
        requests = [AnalysisRequest(series.symbol, "r", (source,)) for series in batch.series]
        for _ in range(2):
            self.route = self.askers_route
            asked = len(self.results)
            self.results += self.analyze(requests)
            if len(self.results) > asked:
                return

    def want(self, number: int) -> None:
        """Another number is wanted: those that are needed are made."""
        self.wanted = number
        for shard in range(number):
            if shard not in self.actors:
                self.make(shard)

    def serve(self) -> None:
        """All are warm: from now on they are called. Who feeds and who asks have not heard of it yet."""
        for shard in range(self.wanted):
            self.actors[shard].prepare(self.serving, self.wanted)
        self.serving = self.wanted

    def hear(self, who: str) -> None:
        """Who feeds or who asks looks how many serve; when both know, those that are not called end."""
        setattr(self, f"{who}_route", self.serving)
        if self.feeders_route == self.askers_route == self.serving == self.wanted:
            self.actors = {shard: actor for shard, actor in self.actors.items() if shard < self.serving}

    def die(self, number: int) -> None:
        """A shard is killed, and replaced."""
        if number in self.actors:
            self.make(number)


def only(store: Store) -> list[Any]:
    """Return the results of one analyzer that saw everything in order."""
    analyzer = TechnicalAnalyzer(SMALL, Store(), TOPIC, load_market(), {})
    analyzer.start()
    results = []
    for minute in range(max(map(len, store.written.values()))):
        for batches in store.written.values():
            if batches:
                batch = batches[minute]
                analyzer.update(batch)
                source = OffsetRange(TOPIC, batch.partition, batch.start_offset, batch.next_offset - 1)
                results += analyzer.analyze([AnalysisRequest(s.symbol, "r", (source,)) for s in batch.series])
    return results


events = st.one_of(
    st.tuples(st.just("bars")),
    st.tuples(st.just("want"), st.integers(1, 4)),
    st.tuples(st.just("serve")),
    st.tuples(st.just("hear"), st.sampled_from(["feeders", "askers"])),
    st.tuples(st.just("die"), st.integers(0, 3)),
    st.tuples(st.just("deaf"), st.integers(0, 3)),
    st.tuples(st.just("listens"), st.integers(0, 3)),
)


@settings(max_examples=10)
@example(  # A shard that was replaced in between keeps only what is its own now; feeders do not know it yet.
    [("want", 4), ("bars",), ("serve",), ("die", 0), ("bars",), ("hear", "askers"), ("bars",), ("bars",)]
)
@given(st.lists(events, max_size=30))
def test_whatever_happens_each_bar_has_the_result_of_an_only_analyzer(happens: list[Any]) -> None:
    world = World()
    world.bars()
    for event, *arguments in happens:
        if event == "deaf":
            world.deaf.add(arguments[0])
        elif event == "listens":
            world.deaf.discard(arguments[0])
        elif event == "want" and world.feeders_route == world.askers_route == world.serving:
            world.want(*arguments)
        elif event != "want":
            getattr(world, event)(*arguments)
        world.bars()
    found = {msgspec.json.decode(r.value)["result_id"]: msgspec.json.decode(r.value) for r in world.results}
    assert len(found) == len(world.results)
    expected = {result.result_id: msgspec.to_builtins(result) for result in only(world.store)}
    for results in (found, expected):
        for result in results.values():
            del result["metadata"]["processing_time"]
    assert found == expected
