"""Bars in the store: one document a series and trading day, its bars in a map by time.

A replayed day is one upsert a symbol, a live minute one small ``$set``; a bar written again
replaces itself. The map's key is the time of day, ``"091500"``, with milliseconds appended when
there are any. A bar is the list ``[time_ms, open, high, low, close, volume, offset, append_ms,
closed]``.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.database import Database

from vnpulse.batches import BarBatch, Series
from vnpulse.messages import VIETNAM
from vnpulse.store.connection import Document, translated

VIETNAM_MS = 7 * 3_600_000
DAY_MS = 86_400_000

SYMBOLS_PER_QUERY = 200
"""Bounds how many documents one query holds in memory: about 200 x 3 days x 30 KB."""

NOT_FROM_KAFKA = ("", -1)
"""Topic and partition of bars that were put into the store directly, such as daily history."""


@lru_cache(maxsize=100_000)
def _key(ms_of_day: int) -> str:
    seconds, ms = divmod(ms_of_day, 1000)
    key = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    return f"{key}{ms:03d}" if ms else key


@lru_cache(maxsize=100_000)
def trading_day(day_number: int) -> str:
    """Return the ISO date of a day counted from 1970-01-01 in Vietnamese time."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day_number)).isoformat()


class BarStore:
    """Bars and how far each raw partition has been stored. All writes can be repeated."""

    def __init__(self, database: Database[Document]) -> None:
        self._bars = database["bars"]
        self._progress = database["progress"]

    def ensure_indexes(self) -> None:
        """Create what the queries below need. Idempotent."""
        with translated("create indexes"):
            self._bars.create_index([("interval", ASCENDING), ("symbol", ASCENDING), ("day", DESCENDING)])
            self._bars.create_index([("interval", ASCENDING), ("day", DESCENDING)])

    def write(self, batches: Sequence[BarBatch]) -> None:
        """Upsert every bar, then record how far the partitions are stored. Durable on return.

        The progress is written last: whoever reads it finds at least the bars before it.
        """
        operations = [op for batch in batches for op in _upserts(batch)]
        with translated("write bars"):
            if operations:
                self._bars.bulk_write(operations, ordered=False)
            advance_progress(self._progress, [(b.topic, b.partition, b.next_offset) for b in batches])

    def stored_through(self, topic: str) -> dict[int, int]:
        """Return, by partition, the next raw offset that has not been stored yet."""
        with translated("read progress"):
            return {d["partition"]: d["next_offset"] for d in self._progress.find({"topic": topic})}

    def latest_bars(self, intervals: Sequence[str], count: int) -> Iterator[BarBatch]:
        """Yield the last ``count`` bars of each series, time ascending within a series."""
        for interval in intervals:
            for symbols in _chunks(self._symbols(interval), SYMBOLS_PER_QUERY):
                documents = self._last_days(interval, symbols, count)
                yield from _as_batches(documents, count)

    def _symbols(self, interval: str) -> list[str]:
        with translated("list symbols"):
            return sorted(self._bars.distinct("symbol", {"interval": interval}))

    def _last_days(self, interval: str, symbols: list[str], count: int) -> list[Document]:
        """Return documents, day ascending, that hold the last ``count`` bars of each of ``symbols``.

        Days are read newest first, bounded below by a window that doubles while some symbol has
        too few bars and older days exist: an unbounded "latest" query scans everything.
        """
        with translated("read bars"):
            newest = self._bars.find_one({"interval": interval}, {"day": 1}, sort=[("day", DESCENDING)])
            oldest = self._bars.find_one({"interval": interval}, {"day": 1}, sort=[("day", ASCENDING)])
            if newest is None or oldest is None:
                return []
            last = dt.date.fromisoformat(newest["day"])
            window = 2 * count if interval == "1d" else 2 + count // 100
            above: str | None = None
            documents: list[Document] = []
            have: dict[str, int] = defaultdict(int)
            wanting = list(symbols)
            while wanting:
                since = (last - dt.timedelta(days=window)).isoformat()
                day: Document = {"$gte": since} | ({"$lt": above} if above else {})
                query = {"interval": interval, "symbol": {"$in": wanting}, "day": day}
                for document in self._bars.find(query):
                    documents.append(document)
                    have[document["symbol"]] += len(document["bars"])
                wanting = [s for s in wanting if have[s] < count]
                if since <= oldest["day"]:
                    break
                above, window = since, window * 4
        return sorted(documents, key=lambda d: str(d["day"]))

    def between(self, symbol: str, interval: str, first_day: str, last_day: str) -> list[list[Any]]:
        """Return the bars of a series from ``first_day`` to ``last_day`` (ISO dates), time ascending."""
        query = {"symbol": symbol, "interval": interval, "day": {"$gte": first_day, "$lte": last_day}}
        with translated("read bars"):
            return sorted(bar for document in self._bars.find(query) for bar in document["bars"].values())

    def count_between(self, interval: str, first_day: str, last_day: str) -> int:
        """Return how many bars of all symbols the days hold."""
        query = {"interval": interval, "day": {"$gte": first_day, "$lte": last_day}}
        with translated("count bars"):
            return sum(len(document["bars"]) for document in self._bars.find(query, {"bars": 1}))


def advance_progress(progress: Any, rows: Iterable[tuple[str, int, int]]) -> None:
    """Record (topic, partition, next_offset). ``$max``: a late writer never takes progress back."""
    updates = [
        UpdateOne(
            {"_id": f"{topic}/{partition}"},
            {"$max": {"next_offset": next_offset}, "$setOnInsert": {"topic": topic, "partition": partition}},
            upsert=True,
        )
        for topic, partition, next_offset in rows
        if partition >= 0
    ]
    if updates:
        progress.bulk_write(updates, ordered=False)


def _upserts(batch: BarBatch) -> list[UpdateOne]:
    """Return one upsert for each (series, trading day) of ``batch``."""
    local_ms = batch.time_ms + VIETNAM_MS
    days = (local_ms // DAY_MS).tolist()
    keys = (local_ms % DAY_MS).tolist()
    fields: dict[tuple[int, int], dict[str, list[Any]]] = defaultdict(dict)
    rows = zip(
        batch.codes.tolist(),
        days,
        keys,
        batch.time_ms.tolist(),
        batch.prices.tolist(),
        batch.volume.tolist(),
        batch.offsets.tolist(),
        batch.append_ms.tolist(),
        batch.closed.tolist(),
        strict=True,
    )
    for code, day, key, time_ms, prices, volume, offset, append_ms, closed in rows:
        bar = [time_ms, *prices, volume, offset, append_ms, closed]
        fields[code, day][f"bars.{_key(key)}"] = bar
    operations = []
    for (code, day_number), bars in fields.items():
        symbol, interval = batch.series[code]
        day = trading_day(day_number)
        created = {
            "symbol": symbol,
            "interval": interval,
            "day": day,
            "topic": batch.topic,
            "partition": batch.partition,
        }
        operations.append(
            UpdateOne(
                {"_id": f"{symbol}:{interval}:{day}"}, {"$set": bars, "$setOnInsert": created}, upsert=True
            )
        )
    return operations


def _as_batches(documents: list[Document], count: int) -> Iterator[BarBatch]:
    """Yield the last ``count`` bars of each series in ``documents``, one batch a raw partition."""
    by_series: dict[tuple[str, int, Series], list[list[Any]]] = defaultdict(list)
    for document in documents:
        series = Series(document["symbol"], document["interval"])
        by_series[document["topic"], document["partition"], series].extend(document["bars"].values())
    by_partition: dict[tuple[str, int], list[tuple[Series, list[list[Any]]]]] = defaultdict(list)
    for (topic, partition, series), bars in by_series.items():
        bars.sort()
        by_partition[topic, partition].append((series, bars[-count:]))
    for (topic, partition), groups in by_partition.items():
        table = np.array([bar for _, bars in groups for bar in bars], dtype=np.float64)
        codes = np.repeat(np.arange(len(groups), dtype=np.int32), [len(bars) for _, bars in groups])
        yield BarBatch(
            topic=topic,
            partition=partition,
            start_offset=-1,
            next_offset=-1,
            series=[series for series, _ in groups],
            codes=codes,
            time_ms=table[:, 0].astype(np.int64),
            prices=np.ascontiguousarray(table[:, 1:5]),
            volume=np.ascontiguousarray(table[:, 5]),
            closed=table[:, 8] != 0,
            offsets=table[:, 6].astype(np.int64),
            append_ms=table[:, 7].astype(np.int64),
        )


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def day_of(moment: dt.datetime) -> str:
    """Return the trading day, an ISO date in Vietnamese time, that ``moment`` falls on."""
    return moment.astimezone(VIETNAM).date().isoformat()
