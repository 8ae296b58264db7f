"""The actors that analyze: one shard of an Analyzer each, GPU-scheduled where the settings say so."""

from __future__ import annotations

import math
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from actors.whereabouts import whereabouts
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch
from vnpulse.errors import AnalyzerUnavailable
from vnpulse.market import load_market
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.news import NewsStore
from vnpulse.streaming.analyzer_pool import EncodedResult
from vnpulse.topics import NEWS, PRICES, RESULTS

# Imported where they are made: numba and, with a checkpoint, torch cost a process 120 MB and more
# and seconds of start, and every process that names these actors imports this module.
if TYPE_CHECKING:
    from vnpulse.sentiment.analyzer import SentimentAnalyzer
    from vnpulse.technical.analyzer import TechnicalAnalyzer


SENTIMENT_NICENESS = 10
"""A burst of articles may take all the processor time that nobody else wants; prices go first."""


class AnalyzerActor(ABC):
    """Holds one shard of an analyzer.

    State is soft: ``start`` rebuilds it from the store, and a batch that starts later than the
    state knows is answered with the offset that is missing, so the consumer brings it again.
    Until ``start`` has returned, calls raise AnalyzerUnavailable, which callers wait out. Calls
    may come from several consumers at once; they take turns. ``health`` never waits for them.
    """

    def __init__(self, settings: Settings, name: str, version: str = "") -> None:
        self._settings = settings
        self._name = name
        self._version = version
        self._encode = open_codecs(settings).encoder(RESULTS)
        self._analyzer: TechnicalAnalyzer | SentimentAnalyzer | None = None
        self._turn = threading.Lock()
        self._warm_up_s = 0.0
        self._busy_since_s = 0.0

    def __repr__(self) -> str:
        return self._name

    @abstractmethod
    def _make(self) -> TechnicalAnalyzer | SentimentAnalyzer:
        """Return the analyzer, not yet started."""

    def start(self) -> None:
        """Load the state from the store; does nothing if that has been done."""
        with self._turn:
            if self._analyzer is None:
                began = time.perf_counter()
                analyzer = self._make()
                analyzer.start()
                self._warm_up_s = time.perf_counter() - began
                self._analyzer = analyzer

    def _started(self) -> Any:
        if self._analyzer is None:
            raise AnalyzerUnavailable(f"{self._name} is warming up")
        return self._analyzer

    def update(self, batches: Sequence[BarBatch] | Sequence[NewsBatch]) -> list[int]:
        """Apply the batches; return, in order, the next offset expected of each one's partition."""
        analyzer = self._started()
        with self._turn:
            self._busy_since_s = time.time()
            try:
                return [analyzer.update(batch) for batch in batches]
            finally:
                self._busy_since_s = 0.0

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        """Return the results for ``requests``, encoded here so that nobody unpacks them on the way."""
        analyzer = self._started()
        with self._turn:
            self._busy_since_s = time.time()
            try:
                return [EncodedResult(r.symbol, self._encode(r)) for r in analyzer.analyze(requests)]
            finally:
                self._busy_since_s = 0.0

    def stop(self, deadline_s: float) -> bool:
        """Return at once: state is soft, so there is nothing to finish."""
        return True

    def health(self) -> dict[str, Any]:
        """Return counters and times."""
        analyzer = self._analyzer
        return {
            "pipeline": "analysis",
            "version": self._version,
            **whereabouts(),
            "alive": analyzer is not None,
            "error": "",
            "warm_up_s": round(self._warm_up_s, 3),
            "busy_since_s": self._busy_since_s,
            "symbols": analyzer.symbols() if analyzer is not None else 0,
            "counts": dict(analyzer.counters()) if analyzer is not None else {},
        }


class TechnicalActor(AnalyzerActor):
    """Bars and indicators."""

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
            settings.sentiment, model, store, settings.kafka.topic(NEWS), finder.weights_of
        )
