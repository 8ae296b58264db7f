"""The actors that analyze: one shard of an Analyzer each, GPU-scheduled where the settings say so."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from actors.turns import Turns
from actors.whereabouts import whereabouts
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch
from vnpulse.errors import AnalyzerUnavailable
from vnpulse.kafka.partitioning import partition_of
from vnpulse.market import load_market
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.sharding import owned
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.control import ControlStore
from vnpulse.store.news import NewsStore
from vnpulse.streaming.analyzer_pool import EncodedResult
from vnpulse.topics import NEWS, PRICES, RESULTS

log = logging.getLogger(__name__)

# Imported where they are made: numba and, with a checkpoint, torch cost a process 120 MB and more
# and seconds of start, and every process that names these actors imports this module.
if TYPE_CHECKING:
    from vnpulse.sentiment.analyzer import SentimentAnalyzer
    from vnpulse.technical.analyzer import RawPart, TechnicalAnalyzer


SENTIMENT_NICENESS = 10
"""A burst of articles may take all the processor time that nobody else wants; prices go first."""

ANSWER_WITHIN_S = 5.0
"""After this long a call answers with what it has: no call is long because the analyzer is slow, so a
long one means that it is stuck."""


LOAD_PAUSE_S = 1.0
"""Before the next attempt when the store was away."""


class Answer(NamedTuple):
    """What one call of ``analyze`` came to: the results of the first ``requests`` that it was given."""

    results: list[EncodedResult]
    requests: int


class Shard(NamedTuple):
    """One of the shards of an analyzer."""

    kind: str
    number: int
    raw_partitions: int
    """Partitions of stock_prices_raw."""

    @property
    def name(self) -> str:
        """The name of its actor: "technical/0"."""
        return shard_name(self.kind, self.number)


def shard_name(kind: str, number: int) -> str:
    """Return the actor name of a shard."""
    return f"{kind}/{number}"


class AnalyzerActor(ABC):
    """Holds one shard of an analyzer.

    State is soft: ``start`` rebuilds it from the store, and a batch that starts later than the
    state knows is answered with the offset that is missing, so the consumer brings it again.
    Until ``start`` has returned, calls raise AnalyzerUnavailable, which callers wait out. Calls
    may come from several consumers at once; they take turns, and who feeds waits at most for one
    slice of who asks. ``health`` never waits for them, and says so when one does not end.
    """

    SLICE: ClassVar[int]
    """Requests that are analyzed in one turn."""

    SLOW_AFTER_S: ClassVar[float] = 30.0
    """A turn this long is reported. A healthy one takes milliseconds, seconds where a model reads."""

    STUCK_AFTER_S: ClassVar[float] = 120.0
    """A turn this long will not end: the process is to be replaced. A slow analyzer is not stuck, its
    turns end, or it says that it gets on (``progressed``)."""

    def __init__(self, settings: Settings, shard: Shard, version: str = "") -> None:
        self._settings = settings
        self._shard = shard
        self._name = shard.name
        self._version = version
        self._encode = open_codecs(settings).encoder(RESULTS)
        self._analyzer: TechnicalAnalyzer | SentimentAnalyzer | None = None
        self._turns = Turns()
        self._ready_s = 0.0
        self._warm_up_s = 0.0
        self._warm = threading.Event()
        self._turn_since_s = 0.0
        self._worked_s = 0.0

    def __repr__(self) -> str:
        return self._name

    @abstractmethod
    def _make(self) -> TechnicalAnalyzer | SentimentAnalyzer:
        """Return the analyzer, not yet started."""

    def _warm_up(self, analyzer: Any) -> None:
        """Load what this shard must know before it can answer."""
        analyzer.start()

    def _load_more(self, analyzer: Any) -> bool:
        """Load some of the rest; False if there was none."""
        return False

    def _keeps(self, partition: int) -> bool:
        """Return whether the state of a partition is here; without its past, more of it is of no use."""
        return True

    def prepare(self, serving: int, wanted: int) -> None:
        """Load what this shard must know besides when there are ``wanted`` shards instead of ``serving``.

        Returns when this shard is warm. May be called again. Until then others are asked about it.
        """
        self._started()
        self._warm.wait()

    def start(self) -> None:
        """Make ready to answer; does nothing if that has been done.

        What takes long to load is loaded afterwards, or when it is asked for.
        """
        with self._turns.feeding():
            if self._analyzer is None:
                began = time.perf_counter()
                analyzer = self._make()
                self._warm_up(analyzer)
                self._ready_s = time.perf_counter() - began
                self._analyzer = analyzer
                loading = threading.Thread(target=self._load, args=(analyzer, began), daemon=True)
                loading.start()

    def _load(self, analyzer: Any, began: float) -> None:
        more = True
        while more:
            try:
                with self._turn(self._turns.asking()):
                    more = self._load_more(analyzer)
            except Exception as error:
                log.warning("%s: loading its state: %s", self._name, error)
                time.sleep(LOAD_PAUSE_S)
        self._warm_up_s = time.perf_counter() - began
        self._warm.set()

    def _started(self) -> Any:
        if self._analyzer is None:
            raise AnalyzerUnavailable(f"{self._name} is warming up")
        return self._analyzer

    def progressed(self) -> None:
        """Note that the turn in hand gets on: called by analyzers whose turns may take long."""
        now = time.monotonic()
        self._worked_s += now - self._turn_since_s
        self._turn_since_s = now

    @contextmanager
    def _turn(self, turn: AbstractContextManager[None]) -> Iterator[None]:
        with turn:
            self._turn_since_s = time.monotonic()
            try:
                yield
            finally:
                self.progressed()
                self._turn_since_s = 0.0

    def update(self, batches: Sequence[BarBatch] | Sequence[NewsBatch]) -> list[int]:
        """Apply the batches; return, in order, the next offset expected of each one's partition.

        Raises AnalyzerUnavailable if one of them belongs to another shard.
        """
        analyzer = self._started()
        for batch in batches:
            if not self._keeps(batch.partition):
                raise AnalyzerUnavailable(f"{batch.topic}/{batch.partition} is not kept by {self._name}")
        with self._turn(self._turns.feeding()):
            return [analyzer.update(batch) for batch in batches]

    def analyze(self, requests: Sequence[AnalysisRequest]) -> Answer:
        """Return the results for the first of ``requests``, of all if that takes seconds only.

        They are encoded here so that nobody unpacks them on the way.
        """
        analyzer = self._started()
        until = time.monotonic() + ANSWER_WITHIN_S
        results: list[EncodedResult] = []
        done = 0
        while done < len(requests) and (not done or time.monotonic() < until):
            part = requests[done : done + self.SLICE]
            with self._turn(self._turns.asking()):
                results += [EncodedResult(r.symbol, self._encode(r)) for r in analyzer.analyze(part)]
            done += len(part)
        return Answer(results, done)

    def stop(self, deadline_s: float) -> bool:
        """Return at once: state is soft, so there is nothing to finish."""
        return True

    def health(self) -> dict[str, Any]:
        """Return counters and times."""
        analyzer = self._analyzer
        since_s = self._turn_since_s
        turn_s = time.monotonic() - since_s if since_s else 0.0
        return {
            "pipeline": "analysis",
            "version": self._version,
            **whereabouts(),
            "alive": analyzer is not None and turn_s < self.STUCK_AFTER_S,
            "error": f"stuck: one call has taken {turn_s:.0f} s" if turn_s >= self.SLOW_AFTER_S else "",
            "ready_s": round(self._ready_s, 3),
            "warm_up_s": round(self._warm_up_s, 3),
            "waiting": self._turns.waiting(),
            "turn_s": round(turn_s, 3),
            "worked_s": round(self._worked_s + turn_s, 3),
            "symbols": analyzer.symbols() if analyzer is not None else 0,
            "counts": dict(analyzer.counters()) if analyzer is not None else {},
        }


class TechnicalActor(AnalyzerActor):
    """Bars and indicators."""

    SLICE = 128

    def _owned(self, shards: int) -> frozenset[int]:
        return owned(self._shard.number, self._shard.raw_partitions, shards)

    def _part(self, partitions: frozenset[int]) -> RawPart:
        from vnpulse.technical.analyzer import RawPart

        of = self._shard.raw_partitions
        return RawPart(partitions, lambda symbol: partition_of(symbol, of) in partitions)

    def _numbers(self) -> set[int]:
        """Return how many shards serve and how many are wanted."""
        pool = ControlStore(connect(self._settings.store)).pool(self._shard.kind)
        return set(pool or (self._settings.placement.technical.shards,))

    def _warm_up(self, analyzer: Any) -> None:
        numbers = self._numbers()
        self._loaded = frozenset[int]().union(*map(self._owned, numbers))
        self._kept = set(self._loaded)
        # The only shard knows everything, however its records are keyed.
        analyzer.begin(None if numbers == {1} else self._part(self._loaded))

    def _load_more(self, analyzer: Any) -> bool:
        more: bool = analyzer.load_more()
        return more

    def prepare(self, serving: int, wanted: int) -> None:
        """See AnalyzerActor."""
        super().prepare(serving, wanted)
        analyzer = self._started()
        # What it was not called for may be long out of date, but for what a new one has just loaded.
        known = self._owned(serving) if self._shard.number < serving else self._loaded
        for partition in sorted(self._owned(wanted) - known):
            # One at a time: who feeds and who asks must not wait for all of them.
            with self._turn(self._turns.asking()):
                analyzer.take_over(self._part(frozenset((partition,))))
                self._kept.add(partition)

    def _keeps(self, partition: int) -> bool:
        return partition in self._kept

    def _make(self) -> TechnicalAnalyzer:
        from vnpulse.technical.analyzer import TechnicalAnalyzer

        settings = self._settings
        store = BarStore(connect(settings.store))
        companies = SymbolFinder.load(settings.sentiment.companies).companies
        return TechnicalAnalyzer(
            settings.technical,
            store,
            settings.kafka.topic(PRICES),
            load_market(settings.aggregation.market),
            {symbol: company.exchange for symbol, company in companies.items()},
        )


class SentimentActor(AnalyzerActor):
    """Articles and their tone."""

    SLICE = 8

    def _make(self) -> SentimentAnalyzer:
        from vnpulse.sentiment.analyzer import SentimentAnalyzer
        from vnpulse.sentiment.models import load_model
        from vnpulse.sentiment.symbols import SymbolFinder

        os.nice(SENTIMENT_NICENESS)
        settings = self._settings
        store = NewsStore(connect(settings.store))
        # On a machine that it shares with the price path it takes what it was placed with, no more.
        model = load_model(
            settings.sentiment, threads=max(1, math.ceil(settings.placement.sentiment.num_cpus))
        )
        finder = SymbolFinder.load(settings.sentiment.companies)
        return SentimentAnalyzer(
            settings.sentiment, model, store, settings.kafka.topic(NEWS), finder.weights_of, self.progressed
        )
