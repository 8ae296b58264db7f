"""Technical analysis behind the Analyzer contract: bars in, a score with its reasons out."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vnpulse.analysis import AnalysisRequest, BarHistory
from vnpulse.batches import BarBatch
from vnpulse.ids import derived_id
from vnpulse.messages import (
    INTERVAL_MS,
    VIETNAM,
    AnalysisResult,
    AnalysisType,
    RecordRef,
    ResultBody,
    ResultMetadata,
)
from vnpulse.technical import kernel, scoring
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import CONTEXT_INTERVAL, TechnicalSettings

_DAY_MS = 86_400_000
_ZONE_MS = 7 * 3_600_000

_FROM_SOURCE = -1
"""In the request column of the row table: the row was asked for by offset, not by a request's id."""


class TechnicalAnalyzer:
    """Scores bars of the analysed intervals of every symbol that appears in the batches.

    State (indicator state and the last ``history_bars`` rows of each series, and the next offset
    of each raw partition) is soft: ``start`` rebuilds it from the history. Not thread-safe.

    A result's id is made of its bar's place in the log, so an answer given twice, after a
    redelivery or a restart, has the same id. A closed bar that is corrected by a later record is
    analysed again, under the id of that record.
    """

    analysis_type: AnalysisType = "technical"

    def __init__(self, settings: TechnicalSettings, history: BarHistory, topic: str) -> None:
        self._settings = settings
        self._history = history
        self._topic = topic
        self._engine = TechnicalEngine(settings)
        self._next_offset: dict[int, int] = {}
        weights = settings.weights
        self._weights = np.array([weights.trend, weights.momentum, weights.mean_reversion])
        self._model_version = f"technical/{scoring.VERSION}-{settings.digest()}"
        self._warm_up_bars = 0
        self._gaps = 0
        self._results = 0
        self._beyond_history = 0
        self._ahead = 0
        self._unknown = 0

    def start(self) -> None:
        """Load the state from the history; on an error of the history the old state stays."""
        # The offsets first: a bar stored between the two reads is then delivered again, not lost.
        next_offset = dict(self._history.stored_through(self._topic))
        engine = TechnicalEngine(self._settings)
        settings = self._settings
        for batch in self._history.latest_bars(settings.tracked_intervals(), settings.warm_up_bars()):
            # Offsets of another topic mean nothing here.
            engine.apply(batch if batch.topic == self._topic else replace(batch, partition=-1))
        self._warm_up_bars = int(engine.totals.sum())
        engine.totals[:] = 0
        self._engine = engine
        self._next_offset = next_offset

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
        self._engine.apply(batch, first_row)
        self._next_offset[batch.partition] = batch.next_offset
        return batch.next_offset

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        """Return one result for each requested bar, ordered by symbol, time and interval.

        With sources: every bar of the analysed intervals that became final in them, once however
        often it was asked for. What the ring no longer holds is skipped and counted. Without:
        the latest bar, final or not, of the first analysed interval that has one.
        """
        began = time.perf_counter()
        rows = self._requested_rows(requests)
        if not len(rows):
            return []
        results = self._build(self._in_order(rows), requests, began)
        self._results += len(results)
        return results

    def counters(self) -> dict[str, int]:
        """Return what happened since ``start``, for metrics; ``bars_*`` as in ``STATUS_NAMES``."""
        totals = zip(kernel.STATUS_NAMES, self._engine.totals.tolist(), strict=True)
        return {
            **{f"bars_{name}": count for name, count in totals},
            "bars_warm_up": self._warm_up_bars,
            "batches_after_gap": self._gaps,
            "results": self._results,
            "requests_beyond_history": self._beyond_history,
            "requests_ahead": self._ahead,
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
            if not numbers:
                self._unknown += 1
                continue
            if not request.sources:
                latest.append((numbers[0], engine.last_slot(numbers[0]), index))
            for source in request.sources:
                if source.topic != self._topic:
                    continue
                if source.last >= self._next_offset.get(source.partition, 0):
                    self._ahead += 1
                for number in numbers:
                    queries[number, source.partition, source.first, source.last] = None
        rows = np.empty((0, 3), np.int64)
        if queries:
            found, beyond = engine.final_rows(list(queries))
            self._beyond_history += beyond
            # Overlapping stretches find the same row: keep it once.
            size = self._settings.history_bars
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
        by_time = self._engine.marks[rows[:, 0], rows[:, 1], kernel.TIME]
        return rows[np.lexsort((rows[:, 2], by_interval, by_time, by_symbol))]

    def _build(
        self, rows: NDArray[np.int64], requests: Sequence[AnalysisRequest], began: float
    ) -> list[AnalysisResult]:
        engine = self._engine
        at = rows[:, 0], rows[:, 1]
        marks = engine.marks[at]
        outputs = engine.outputs[at]
        close = engine.closes[at]
        table = scoring.score_rows(
            close,
            outputs[:, kernel.SMA],
            outputs[:, kernel.EMA],
            outputs[:, kernel.MACD_HIST],
            outputs[:, kernel.RSI],
            outputs[:, kernel.RSI_CHANGE],
            outputs[:, kernel.BB_UPPER],
            outputs[:, kernel.BB_MIDDLE],
            outputs[:, kernel.ATR],
            outputs[:, kernel.ACTIVITY],
            self._weights,
        )
        daily = self._daily_context(rows, marks[:, kernel.TIME])
        last_row = rows[:, 1] == (engine.seen[rows[:, 0]] - 1) % self._settings.history_bars
        final = ((marks[:, kernel.CLOSED] != 0) | ~last_row).tolist()
        not_ready: NDArray[np.bool_] = np.isnan(table[:, scoring.TREND :: 2])
        missing = [
            [name for name, absent in zip(scoring.COMPONENTS, row, strict=True) if absent] if any(row) else []
            for row in not_ready.tolist()
        ]
        scores = np.nan_to_num(table, nan=0.0).tolist()

        names = engine.output_names
        topic = self._topic
        model_version = self._model_version
        trend_weight, momentum_weight, reversion_weight = self._weights.tolist()
        moments: dict[tuple[int, str], tuple[dt.datetime, str]] = {}
        processing_time = time.perf_counter() - began
        results: list[AnalysisResult] = []
        asked = rows[:, 2].tolist()
        marked = marks.tolist()
        values = _or_none(outputs)
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
            total, confidence, liveliness, trend, trend_sure, momentum, momentum_sure, reversion, sure = (
                scores[i]
            )
            details: dict[str, Any] = {
                "interval": interval,
                "bar_time": moment[1],
                "final": final[i],
                "close": prices[i],
                "indicators": dict(zip(names, values[i], strict=True)),
                "components": {
                    "trend": {"score": trend, "weight": trend_weight, "confidence": trend_sure},
                    "momentum": {"score": momentum, "weight": momentum_weight, "confidence": momentum_sure},
                    "mean_reversion": {
                        "score": reversion,
                        "weight": reversion_weight,
                        "confidence": sure,
                    },
                },
                "liveliness": liveliness,
                "not_ready": missing[i],
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

    def _daily_context(
        self, rows: NDArray[np.int64], time_ms: NDArray[np.int64]
    ) -> list[dict[str, Any] | None]:
        """Return for each row the last daily bar before its day, None where there is none or no range yet."""
        engine = self._engine
        symbols = [engine.series[number].symbol for number in rows[:, 0].tolist()]
        daily = [engine.numbers.get((symbol, CONTEXT_INTERVAL), -1) for symbol in symbols]
        numbers = np.array(daily, np.int64)
        midnight = (time_ms + _ZONE_MS) // _DAY_MS * _DAY_MS - _ZONE_MS
        slots = engine.rows_before(numbers, midnight)
        name = engine.output_names[kernel.ATR]
        atr = engine.outputs[numbers, slots, kernel.ATR]
        ready = (slots >= 0) & ~np.isnan(atr)
        if not ready.any():
            return [None] * len(rows)
        closes = engine.closes[numbers, slots].tolist()
        times = engine.marks[numbers, slots, kernel.TIME].tolist()
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


def _or_none(values: NDArray[np.float64]) -> list[list[float | None]]:
    """Return the rows of ``values`` as lists, None for NaN."""
    rows: list[list[float | None]] = values.tolist()
    for i in np.flatnonzero(np.isnan(values).any(axis=1)):
        rows[i] = [None if math.isnan(value) else value for value in values[i].tolist()]
    return rows


def _local(epoch_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_ms / 1000, VIETNAM)
