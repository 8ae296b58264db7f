"""What the technical analyzer answers: a bar's score, and every number that it is made of."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vnpulse.analysis import AnalysisRequest
from vnpulse.ids import derived_id
from vnpulse.indicators.catalogue import IndicatorSet
from vnpulse.indicators.columns import CLOSE, TIME
from vnpulse.messages import (
    DAY_MS,
    INTERVAL_MS,
    VIETNAM,
    ZONE_MS,
    AnalysisResult,
    RecordRef,
    ResultBody,
    ResultMetadata,
)
from vnpulse.technical import layout, scoring
from vnpulse.technical.auction import AuctionBar
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.price_limits import PriceLimits
from vnpulse.technical.score_inputs import ScoreInputs
from vnpulse.technical.settings import CONTEXT_INTERVAL, TechnicalSettings

FROM_SOURCE = -1
"""In the request column of the row table: the row was asked for by offset, not by a request's id."""


class TechnicalResults:
    """Makes results of rows of an engine with these settings."""

    def __init__(
        self, settings: TechnicalSettings, indicators: IndicatorSet, limits: PriceLimits, topic: str
    ) -> None:
        """``topic``: where the bars come from."""
        self._limits = limits
        self._topic = topic
        self._inputs = ScoreInputs(indicators)
        self._weights = np.array([getattr(settings.weights, name) for name in scoring.COMPONENTS])
        self._model_version = f"technical/{scoring.VERSION}-{settings.digest()}"

    def of_rows(
        self,
        engine: TechnicalEngine,
        rows: NDArray[np.int64],
        requests: Sequence[AnalysisRequest],
        began: float,
    ) -> list[AnalysisResult]:
        """Return one result for each of ``rows``, int64 [n, 3]: series number, slot, and the index of the
        request that asked for it or FROM_SOURCE. ``began`` is a time of ``time.perf_counter``."""
        numbers, slots = rows[:, 0], rows[:, 1]
        marks = engine.marks[numbers, slots]
        outputs = engine.outputs[numbers, slots]
        close = engine.bars[numbers, CLOSE, slots]
        time_ms = marks[:, layout.TIME_MS]
        midnight = (time_ms + ZONE_MS) // DAY_MS * DAY_MS - ZONE_MS
        limits = self._limits_of(engine, numbers, midnight, close)
        inputs = self._inputs.gather(engine, numbers, slots)
        inputs[:, scoring.LOCKED] = [known is not None and known["locked"] is not None for known in limits]
        table = scoring.score_rows(inputs, self._weights)
        daily = self._daily_context(engine, rows, midnight)
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
                    if asked[i] == FROM_SOURCE
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
        self,
        engine: TechnicalEngine,
        numbers: NDArray[np.int64],
        midnight: NDArray[np.int64],
        close: NDArray[np.float64],
    ) -> list[dict[str, Any] | None]:
        """Return for each row its day's floor and ceiling, from what its own series was the day before."""
        slots = engine.rows_before(numbers, midnight)
        before = engine.bars[numbers, CLOSE, slots].tolist()
        average = engine.outputs[numbers, slots, self._inputs.vwap].tolist()
        return [
            self._limits.of(engine.series[number].symbol, before[i], average[i], price) if known else None
            for i, (number, known, price) in enumerate(
                zip(numbers.tolist(), (slots >= 0).tolist(), close.tolist(), strict=True)
            )
        ]

    def of_auctions(self, bars: Iterable[AuctionBar]) -> list[AnalysisResult]:
        """Return a result without a score for each bar of an opening auction."""
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
        self, engine: TechnicalEngine, rows: NDArray[np.int64], midnight: NDArray[np.int64]
    ) -> list[dict[str, Any] | None]:
        """Return for each row the last daily bar before its day, None where there is none or no range yet."""
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


def _or_none(values: NDArray[np.float64]) -> list[list[float | None]]:
    """Return the rows of ``values`` as lists, None for NaN."""
    rows: list[list[float | None]] = values.tolist()
    for i in np.flatnonzero(np.isnan(values).any(axis=1)):
        rows[i] = [None if math.isnan(value) else value for value in values[i].tolist()]
    return rows


def _local(epoch_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_ms / 1000, VIETNAM)
