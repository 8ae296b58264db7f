"""Technical analysis behind the Analyzer contract: bars in, a score with its reasons out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vnpulse.analysis import LONGEST_REPLAY, AnalysisRequest, BarHistory
from vnpulse.batches import BarBatch, Series
from vnpulse.market import Exchange, MarketRules
from vnpulse.messages import (
    INTERVAL_MS,
    AnalysisResult,
    AnalysisType,
)
from vnpulse.technical import layout
from vnpulse.technical.auction import AuctionBar, AuctionBars
from vnpulse.technical.device import open_engine
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.price_limits import PriceLimits
from vnpulse.technical.results import FROM_SOURCE, TechnicalResults
from vnpulse.technical.settings import RESAMPLED_FROM, TechnicalSettings

RESAMPLED_WARM_UP_BARS = 150
"""Of each resampled interval, bars to make anew at a start: the store has them not, only the many
more bars that they are made of."""

SYMBOLS_A_LOAD = 50
"""So many symbols are loaded at once while others may wait for an answer: about a quarter of a second."""


class RawPart(NamedTuple):
    """A part of the market: some of the raw topic's partitions, and which symbols are keyed to them."""

    partitions: frozenset[int]
    holds: Callable[[str], bool]


class TechnicalAnalyzer:
    """Scores bars of the analysed intervals of every symbol that appears in the batches.

    State (indicator state and the last ``history_bars`` rows of each series, and the next offset
    of each raw partition) is soft: ``start`` rebuilds it from the history. Not thread-safe.

    A bar that comes late changes the state of the bars after it, but not the results that were
    given of them.

    A result's id is made of its bar's place in the log, so an answer given twice, after a
    redelivery or a restart, has the same id. A closed bar that is corrected by a later record is
    analysed again, under the id of that record.
    """

    analysis_type: AnalysisType = "technical"

    def __init__(
        self,
        settings: TechnicalSettings,
        history: BarHistory,
        topic: str,
        market: MarketRules,
        exchange_of: Mapping[str, Exchange],
    ) -> None:
        """``exchange_of`` gives the exchange of the symbols that are known."""
        self._settings = settings
        self._history = history
        self._topic = topic
        self._market = market
        self._exchange_of = exchange_of
        self._engine = self._new_engine()
        self._auctions = AuctionBars()
        limits = PriceLimits(market, exchange_of)
        self._answers = TechnicalResults(settings, self._engine.indicators, limits, topic)
        self._next_offset: dict[int, int] = {}
        self._waiting: set[str] = set()
        self._parts: dict[frozenset[int], RawPart] | None = None
        """What of the market is kept here; None for all of it."""
        self._warm_up_bars = 0
        self._gaps = 0
        self._results = 0
        self._beyond_history = 0
        self._ahead = 0
        self._caught_up = 0
        self._unknown = 0

    def _new_engine(self) -> TechnicalEngine:
        return open_engine(self._settings, self._market, self._exchange_of)

    def _warm_up(self) -> list[tuple[list[str], int]]:
        """Return how many bars to load of which intervals.

        The history and, before it, as many as the slowest indicator needs to forget where its
        series begins, so that a bar is judged the same whether the process has run for days or
        was just restarted.
        """
        settings = self._settings
        enough = settings.history_bars + self._engine.indicators.settled_bars
        stored = [i for i in settings.tracked_intervals() if i not in settings.resample]
        if not settings.resample:
            return [(stored, enough)]
        ratio = max(INTERVAL_MS[interval] for interval in settings.resample) // INTERVAL_MS[RESAMPLED_FROM]
        stored.remove(RESAMPLED_FROM)
        return [(stored, enough), ([RESAMPLED_FROM], max(enough, ratio * RESAMPLED_WARM_UP_BARS))]

    def start(self) -> None:
        """Load the state from the history; on an error of the history the old state stays."""
        before = self._engine, self._auctions, self._next_offset, self._waiting, self._warm_up_bars
        parts = self._parts
        try:
            self.begin()
            while self.load_more():
                pass
        except Exception:
            self._engine, self._auctions, self._next_offset, self._waiting, self._warm_up_bars = before
            self._parts = parts
            raise

    def begin(self, part: RawPart | None = None) -> None:
        """Make ready to answer, of the whole market or of a part of it, with nothing loaded yet.

        A symbol is loaded when it is asked about, or in its turn by ``load_more``. What ``update``
        brings of it until then is in the store, and is read from there.
        """
        self._parts = {part.partitions: part} if part is not None else None
        # In this order: what is stored between the reads is delivered again, or waits to be loaded.
        stored = self._history.stored_through(self._topic)
        self._waiting = self._stored_symbols()
        self._next_offset = {p: at for p, at in stored.items() if part is None or p in part.partitions}
        self._engine = self._new_engine()
        self._auctions = AuctionBars()
        self._warm_up_bars = 0

    def _stored_symbols(self) -> set[str]:
        symbols = self._history.symbols([interval for some, _ in self._warm_up() for interval in some])
        if self._parts is None:
            return symbols
        return {symbol for symbol in symbols if any(part.holds(symbol) for part in self._parts.values())}

    def load_more(self, most: int = SYMBOLS_A_LOAD) -> bool:
        """Load some of the symbols that wait for it; False if none did."""
        some = set(itertools.islice(self._waiting, most))
        if some:
            self._load(some.__contains__)
            self._waiting -= some
        return bool(some)

    def waiting(self) -> int:
        """Return how many symbols are still to be loaded."""
        return len(self._waiting)

    def take_over(self, part: RawPart) -> None:
        """Load the state of partitions that somebody else has kept up to now.

        What is known of them already may be old, and is brought up to date.
        """
        stored = self._history.stored_through(self._topic)
        self._load(part.holds)
        if self._parts is not None:
            self._parts[part.partitions] = part
        self._waiting = {symbol for symbol in self._waiting if not part.holds(symbol)}
        self._next_offset |= {p: at for p, at in stored.items() if p in part.partitions}

    def _load(self, wanted: Callable[[str], bool]) -> None:
        before = self._engine.totals.copy()
        for intervals, count in self._warm_up():
            for batch in self._history.latest_bars(intervals, count, wanted):
                # Offsets of another topic mean nothing here.
                ours = batch if batch.topic == self._topic else replace(batch, partition=-1)
                self._auctions.note(ours, self._engine.apply(ours))
        self._warm_up_bars += int((self._engine.totals - before).sum())
        self._engine.totals[:] = before

    def _catch_up(self, requests: Sequence[AnalysisRequest]) -> None:
        """Load the symbols that are asked about and wait for it, or lack stored records that are asked about.

        The expected offsets stay: what the log brings of them later changes nothing any more.
        """
        cold = self._waiting.intersection(request.symbol for request in requests)
        if cold:
            self._load(cold.__contains__)
            self._waiting -= cold
        ahead = [
            (request.symbol, source)
            for request in requests
            for source in request.sources
            if source.topic == self._topic and source.last >= self._next_offset.get(source.partition, 0)
        ]
        if not ahead:
            return
        stored = self._history.stored_through(self._topic)
        symbols = {symbol for symbol, source in ahead if source.last < stored.get(source.partition, 0)}
        self._ahead += sum(source.last >= stored.get(source.partition, 0) for _, source in ahead)
        if symbols:
            self._caught_up += len(symbols)
            self._load(symbols.__contains__)
            self._waiting -= symbols

    def update(self, batch: BarBatch) -> int:
        """Apply ``batch`` and return the next offset expected of its partition (see Analyzer).

        After a gap that is not to be replayed, what is known of each symbol is brought up to date from the
        store when it is asked about.

        Raises ValueError for a batch of another topic: its offsets would be taken for ours.
        """
        if batch.topic != self._topic:
            raise ValueError(f"topic was {batch.topic!r}, must be {self._topic!r}")
        expected = self._next_offset.get(batch.partition, batch.start_offset)
        if batch.start_offset > expected:
            self._gaps += 1
            if batch.start_offset - expected <= LONGEST_REPLAY:
                return expected
            # Which symbols the missing records are of is not known without reading them.
            self._waiting = self._stored_symbols()
            expected = batch.start_offset
        if batch.next_offset <= expected:
            return expected
        first_row = 0
        if batch.start_offset < expected:
            first_row = int(np.searchsorted(batch.offsets, expected))
        self._next_offset[batch.partition] = batch.next_offset
        if self._waiting:
            warm = np.array([series.symbol not in self._waiting for series in batch.series], np.bool_)
            batch, first_row = batch.rows(np.flatnonzero(warm[batch.codes][first_row:]) + first_row), 0
        self._auctions.note(batch, self._engine.apply(batch, first_row))
        return self._next_offset[batch.partition]

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        """Return one result for each requested bar, ordered by symbol, time and interval.

        With sources: every bar of the analysed intervals that became final in them, once however
        often it was asked for; one of an opening auction has no score. What lies beyond the history
        is skipped and counted. Without: the latest bar, final or not, of the first analysed interval
        that has one.
        """
        began = time.perf_counter()
        self._catch_up(requests)
        rows = self._requested_rows(requests)
        results = (
            self._answers.of_rows(self._engine, self._in_order(rows), requests, began) if len(rows) else []
        )
        auctioned = self._answers.of_auctions(self._auction_bars(requests))
        if auctioned:
            results = sorted([*results, *auctioned], key=_place)
        self._results += len(results)
        return results

    def counters(self) -> dict[str, int]:
        """Return what happened since ``start``, for metrics; ``bars_*`` as in ``STATUS_NAMES``."""
        totals = zip(layout.STATUS_NAMES, self._engine.totals.tolist(), strict=True)
        return {
            **{f"bars_{name}": count for name, count in totals},
            "bars_warm_up": self._warm_up_bars,
            "batches_after_gap": self._gaps,
            "results": self._results,
            "requests_beyond_history": self._beyond_history,
            "requests_ahead": self._ahead,
            "symbols_caught_up": self._caught_up,
            "requests_unknown_symbol": self._unknown,
        }

    def symbols(self) -> int:
        """Return how many symbols have state."""
        return len({series.symbol for series in self._engine.series})

    def _requested_rows(self, requests: Sequence[AnalysisRequest]) -> NDArray[np.int64]:
        """Return int64 [n, 3]: series number, slot, index of the request or FROM_SOURCE."""
        engine = self._engine
        intervals = self._settings.intervals
        queries: dict[tuple[int, int, int, int], None] = {}
        latest: list[tuple[int, int, int]] = []
        for index, request in enumerate(requests):
            series = [(request.symbol, interval) for interval in intervals]
            numbers = [number for one in series if (number := engine.numbers.get(one)) is not None]
            if not numbers and not any(
                self._auctions.within(Series(*one), request.sources) for one in series
            ):
                self._unknown += 1
                continue
            if not request.sources and numbers:
                latest.append((numbers[0], engine.rows(numbers[0]) - 1, index))
            for source in request.sources:
                if source.topic != self._topic:
                    continue
                for number in numbers:
                    queries[number, source.partition, source.first, source.last] = None
        rows = np.empty((0, 3), np.int64)
        if queries:
            found, beyond = engine.final_rows(list(queries))
            self._beyond_history += beyond
            # Overlapping stretches find the same row: keep it once.
            size = engine.marks.shape[1]
            keys = np.unique(found[:, 0] * size + found[:, 1])
            rows = np.stack((keys // size, keys % size, np.full(len(keys), FROM_SOURCE)), axis=1)
        if latest:
            rows = np.concatenate((rows, np.array(latest, np.int64)))
        return rows

    def _in_order(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return ``rows`` by symbol, time, interval and request."""
        series = self._engine.series
        numbers = rows[:, 0].tolist()
        distinct = set(numbers)
        symbols = sorted({series[number].symbol for number in distinct})
        symbol_rank = {symbol: rank for rank, symbol in enumerate(symbols)}
        ranks = {number: symbol_rank[series[number].symbol] for number in distinct}
        lengths = {number: INTERVAL_MS[series[number].interval] for number in distinct}
        by_symbol = np.array([ranks[number] for number in numbers], np.int64)
        by_interval = np.array([lengths[number] for number in numbers], np.int64)
        by_time = self._engine.marks[rows[:, 0], rows[:, 1], layout.TIME_MS]
        return rows[np.lexsort((rows[:, 2], by_interval, by_time, by_symbol))]

    def _auction_bars(self, requests: Sequence[AnalysisRequest]) -> list[AuctionBar]:
        """Return each bar of an opening auction that was asked for, once."""
        bars = {
            bar: None
            for request in requests
            for interval in self._settings.intervals
            for bar in self._auctions.within(
                Series(request.symbol, interval), [s for s in request.sources if s.topic == self._topic]
            )
        }
        return list(bars)


def _place(result: AnalysisResult) -> tuple[str, str, int]:
    """Return what results are in order of: symbol, time and length of the bar."""
    details = result.results.details
    return result.symbol, details["bar_time"], INTERVAL_MS[details["interval"]]
