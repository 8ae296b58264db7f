"""Technical analysis behind the Analyzer contract: bars in, a score with its reasons out."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vnpulse.analysis import AnalysisRequest, BarHistory
from vnpulse.batches import BarBatch, Series
from vnpulse.ids import derived_id
from vnpulse.indicators.catalogue import KINDS, IndicatorSet
from vnpulse.indicators.columns import CLOSE, TIME
from vnpulse.market import Exchange, MarketRules
from vnpulse.messages import (
    DAY_MS,
    INTERVAL_MS,
    VIETNAM,
    ZONE_MS,
    AnalysisResult,
    AnalysisType,
    RecordRef,
    ResultBody,
    ResultMetadata,
)
from vnpulse.technical import layout, scoring
from vnpulse.technical.auction import AuctionBars
from vnpulse.technical.device import open_engine
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.price_limits import PriceLimits
from vnpulse.technical.settings import CONTEXT_INTERVAL, RESAMPLED_FROM, TechnicalSettings

# Outputs of MACD and of the Bollinger bands, counted from the first.
_HISTOGRAM = 2
_PERCENT_B, _BANDWIDTH = 3, 4

RESAMPLED_WARM_UP_BARS = 150
"""Of each resampled interval, bars to make anew at a start: the store has them not, only the many
more bars that they are made of."""

SYMBOLS_A_LOAD = 50
"""So many symbols are loaded at once while others may wait for an answer: about a quarter of a second."""

_FROM_SOURCE = -1
"""In the request column of the row table: the row was asked for by offset, not by a request's id."""


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
        self._limits = PriceLimits(market, exchange_of)
        self._engine = self._new_engine()
        self._auctions = AuctionBars()
        self._inputs = _Inputs(self._engine.indicators)
        self._next_offset: dict[int, int] = {}
        self._waiting: set[str] = set()
        self._weights = np.array([getattr(settings.weights, name) for name in scoring.COMPONENTS])
        self._model_version = f"technical/{scoring.VERSION}-{settings.digest()}"
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
        try:
            self.begin()
            while self.load_more():
                pass
        except Exception:
            self._engine, self._auctions, self._next_offset, self._waiting, self._warm_up_bars = before
            raise

    def begin(self, part: RawPart | None = None) -> None:
        """Make ready to answer, of the whole market or of a part of it, with nothing loaded yet.

        A symbol is loaded when it is asked about, or in its turn by ``load_more``. What ``update``
        brings of it until then is in the store, and is read from there.
        """
        # In this order: what is stored between the reads is delivered again, or waits to be loaded.
        stored = self._history.stored_through(self._topic)
        symbols = self._history.symbols([interval for some, _ in self._warm_up() for interval in some])
        self._waiting = {symbol for symbol in symbols if part is None or part.holds(symbol)}
        self._next_offset = {p: at for p, at in stored.items() if part is None or p in part.partitions}
        self._engine = self._new_engine()
        self._auctions = AuctionBars()
        self._warm_up_bars = 0

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

        Raises ValueError for a batch of another topic: its offsets would be taken for ours.
        """
        if batch.topic != self._topic:
            raise ValueError(f"topic was {batch.topic!r}, must be {self._topic!r}")
        expected = self._next_offset.get(batch.partition, batch.start_offset)
        if batch.start_offset > expected:
            self._gaps += 1
            return expected
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
        results = self._build(self._in_order(rows), requests, began) if len(rows) else []
        auctioned = self._of_auctions(requests)
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
        """Return int64 [n, 3]: series number, slot, index of the request or _FROM_SOURCE."""
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
            rows = np.stack((keys // size, keys % size, np.full(len(keys), _FROM_SOURCE)), axis=1)
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

    def _build(
        self, rows: NDArray[np.int64], requests: Sequence[AnalysisRequest], began: float
    ) -> list[AnalysisResult]:
        engine = self._engine
        numbers, slots = rows[:, 0], rows[:, 1]
        marks = engine.marks[numbers, slots]
        outputs = engine.outputs[numbers, slots]
        close = engine.bars[numbers, CLOSE, slots]
        time_ms = marks[:, layout.TIME_MS]
        midnight = (time_ms + ZONE_MS) // DAY_MS * DAY_MS - ZONE_MS
        limits = self._limits_of(numbers, midnight, close)
        inputs = self._inputs.gather(engine, numbers, slots)
        inputs[:, scoring.LOCKED] = [known is not None and known["locked"] is not None for known in limits]
        table = scoring.score_rows(inputs, self._weights)
        daily = self._daily_context(rows, midnight)
        final = ((marks[:, layout.CLOSED] != 0) | ~engine.is_newest(numbers, slots)).tolist()
        not_ready: NDArray[np.bool_] = np.isnan(table[:, scoring.FIRST_COMPONENT :: 2])
        missing = [
            [name for name, absent in zip(scoring.COMPONENTS, row, strict=True) if absent] if any(row) else []
            for row in not_ready.tolist()
        ]
        scores = np.nan_to_num(table, nan=0.0).tolist()

        names = (*engine.indicators.output_names, *self._inputs.extra_names)
        topic = self._topic
        model_version = self._model_version
        weights = self._weights.tolist()
        moments: dict[tuple[int, str], tuple[dt.datetime, str]] = {}
        processing_time = time.perf_counter() - began
        results: list[AnalysisResult] = []
        asked = rows[:, 2].tolist()
        marked = marks.tolist()
        extra = inputs[:, [scoring.RSI_CHANGE, scoring.EXPANSION]]
        values = _or_none(np.concatenate((outputs, extra), axis=1))
        prices = close.tolist()
        for i, number in enumerate(rows[:, 0].tolist()):
            symbol, interval = engine.series[number]
            time_ms, partition, offset, append_ms = marked[i][:4]
            moment = moments.get((time_ms, interval))
            if moment is None:
                moment = moments[time_ms, interval] = (
                    _local(time_ms + INTERVAL_MS[interval]),
                    _local(time_ms).isoformat(),
                )
            total, confidence, liveliness, *parts = scores[i]
            details: dict[str, Any] = {
                "interval": interval,
                "bar_time": moment[1],
                "final": final[i],
                "close": prices[i],
                "indicators": dict(zip(names, values[i], strict=True)),
                "components": {
                    name: {"score": score, "weight": weight, "confidence": sure}
                    for name, weight, score, sure in zip(
                        scoring.COMPONENTS, weights, parts[::2], parts[1::2], strict=True
                    )
                },
                "liveliness": liveliness,
                "not_ready": missing[i],
                "price_limit": limits[i],
                "daily": daily[i],
            }
            results.append(
                AnalysisResult(
                    derived_id("technical", symbol, interval, topic, partition, offset)
                    if asked[i] == _FROM_SOURCE
                    else derived_id("technical", symbol, interval, requests[asked[i]].request_id),
                    symbol,
                    "technical",
                    moment[0],
                    ResultBody(total, confidence, details),
                    ResultMetadata(
                        model_version,
                        processing_time,
                        RecordRef(topic, partition, offset, append_ms) if partition >= 0 else None,
                    ),
                )
            )
        return results

    def _limits_of(
        self, numbers: NDArray[np.int64], midnight: NDArray[np.int64], close: NDArray[np.float64]
    ) -> list[dict[str, Any] | None]:
        """Return for each row its day's floor and ceiling, from what its own series was the day before."""
        engine = self._engine
        slots = engine.rows_before(numbers, midnight)
        before = engine.bars[numbers, CLOSE, slots].tolist()
        average = engine.outputs[numbers, slots, self._inputs.vwap].tolist()
        return [
            self._limits.of(engine.series[number].symbol, before[i], average[i], price) if known else None
            for i, (number, known, price) in enumerate(
                zip(numbers.tolist(), (slots >= 0).tolist(), close.tolist(), strict=True)
            )
        ]

    def _of_auctions(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        """Return a result without a score for each bar of an opening auction that was asked for."""
        bars = {
            bar: None
            for request in requests
            for interval in self._settings.intervals
            for bar in self._auctions.within(
                Series(request.symbol, interval), [s for s in request.sources if s.topic == self._topic]
            )
        }
        return [
            AnalysisResult(
                derived_id("technical", *bar.series, self._topic, bar.partition, bar.offset),
                bar.series.symbol,
                "technical",
                _local(bar.time_ms + INTERVAL_MS[bar.series.interval]),
                ResultBody(
                    0.0,
                    0.0,
                    {
                        "interval": bar.series.interval,
                        "bar_time": _local(bar.time_ms).isoformat(),
                        "final": True,
                        "close": bar.close,
                        "phase": "ato",
                        "not_ready": list(scoring.COMPONENTS),
                    },
                ),
                ResultMetadata(
                    self._model_version,
                    0.0,
                    RecordRef(self._topic, bar.partition, bar.offset, bar.append_ms),
                ),
            )
            for bar in bars
        ]

    def _daily_context(
        self, rows: NDArray[np.int64], midnight: NDArray[np.int64]
    ) -> list[dict[str, Any] | None]:
        """Return for each row the last daily bar before its day, None where there is none or no range yet."""
        engine = self._engine
        symbols = [engine.series[number].symbol for number in rows[:, 0].tolist()]
        daily = [engine.numbers.get((symbol, CONTEXT_INTERVAL), -1) for symbol in symbols]
        numbers = np.array(daily, np.int64)
        slots = engine.rows_before(numbers, midnight)
        name = engine.indicators.output_names[self._inputs.atr]
        atr = engine.outputs[numbers, slots, self._inputs.atr]
        ready = (slots >= 0) & ~np.isnan(atr)
        if not ready.any():
            return [None] * len(rows)
        closes = engine.bars[numbers, CLOSE, slots].tolist()
        times = engine.bars[numbers, TIME, slots].tolist()
        days: dict[int, str] = {}
        context: list[dict[str, Any] | None] = []
        for is_ready, value, close, opened in zip(ready.tolist(), atr.tolist(), closes, times, strict=True):
            if not is_ready:
                context.append(None)
                continue
            day = days.get(opened)
            if day is None:
                day = days[opened] = _local(opened).isoformat()
            context.append({name: value, "close": close, "time": day})
        return context


class _Inputs:
    """Where the score's inputs are among the outputs of a set of indicators."""

    def __init__(self, indicators: IndicatorSet) -> None:
        first: dict[str, int] = {}
        column = 0
        for spec in indicators.specs:
            first.setdefault(spec.kind, column)
            column += len(KINDS[spec.kind].names(*spec.parameters))
        self.atr = first["atr"]
        self.vwap = first["vwap"]
        self._rsi = first["rsi"]
        self._bandwidth = first["bb"] + _BANDWIDTH
        names = indicators.output_names
        self.extra_names = (
            f"{names[self._rsi]}_change_{scoring.RSI_CHANGE_BARS}",
            f"{names[self._bandwidth]}_change_{scoring.EXPANSION_BARS}",
        )
        plain = {
            scoring.SMA: first["sma"],
            scoring.EMA: first["ema"],
            scoring.ATR: first["atr"],
            scoring.MACD_HIST: first["macd"] + _HISTOGRAM,
            scoring.RSI: first["rsi"],
            scoring.PERCENT_B: first["bb"] + _PERCENT_B,
            scoring.MFI: first["mfi"],
            scoring.VWAP: first["vwap"],
            scoring.VOLUME_Z: first["volume_z"],
            scoring.ACTIVITY: first["activity"],
        }
        self._inputs = list(plain)
        self._columns = list(plain.values())

    def gather(
        self, engine: TechnicalEngine, numbers: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the inputs of rows [n] as float64 [n, scoring.INPUTS]; LOCKED is left 0."""
        inputs = np.zeros((len(numbers), scoring.INPUTS))
        inputs[:, scoring.CLOSE] = engine.bars[numbers, CLOSE, slots]
        inputs[:, self._inputs] = engine.outputs[numbers[:, None], slots[:, None], self._columns]
        rsi = self._earlier(engine, numbers, slots, scoring.RSI_CHANGE_BARS, self._rsi)
        inputs[:, scoring.RSI_CHANGE] = inputs[:, scoring.RSI] - rsi
        narrow = self._earlier(engine, numbers, slots, scoring.EXPANSION_BARS, self._bandwidth)
        wide = engine.outputs[numbers, slots, self._bandwidth]
        # From no width at all, any width is as wide as can be; none is no change.
        with np.errstate(divide="ignore", invalid="ignore"):
            inputs[:, scoring.EXPANSION] = np.where((narrow == 0.0) & (wide == 0.0), 0.0, wide / narrow - 1.0)
        return inputs

    @staticmethod
    def _earlier(
        engine: TechnicalEngine, numbers: NDArray[np.int64], slots: NDArray[np.int64], bars: int, column: int
    ) -> NDArray[np.float64]:
        earlier = engine.outputs[numbers, np.maximum(slots - bars, 0), column]
        return np.where(slots >= bars, earlier, np.nan)


def _place(result: AnalysisResult) -> tuple[str, str, int]:
    """Return what results are in order of: symbol, time and length of the bar."""
    details = result.results.details
    return result.symbol, details["bar_time"], INTERVAL_MS[details["interval"]]


def _or_none(values: NDArray[np.float64]) -> list[list[float | None]]:
    """Return the rows of ``values`` as lists, None for NaN."""
    rows: list[list[float | None]] = values.tolist()
    for i in np.flatnonzero(np.isnan(values).any(axis=1)):
        rows[i] = [None if math.isnan(value) else value for value in values[i].tolist()]
    return rows


def _local(epoch_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_ms / 1000, VIETNAM)
