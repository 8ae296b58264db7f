"""Bars in the store: buckets of one series, bars in a map by time.

A bucket is a quarter of an hour of intraday bars or a month of daily ones. A live minute is one
small ``$set`` a symbol, a replayed quarter one upsert, and a bar written again replaces itself.

Why so small: a ``$set`` rewrites its document. Measured on SecantusDB, one bar of each of 48
symbols a write, milliseconds a write: buckets of a trading day 111 when small and 298 with 240
bars, of an hour 75 to 105, of a quarter 48, one document a bar 33; but then the warm-up of 1,600
symbols would read 800,000 documents instead of 54,000.

A bar is the list ``[time_ms, open, high, low, close, volume, offset, append_ms, closed]`` under
the key of its time, ``"091500"`` in a quarter, ``"28"`` in a month; offset -1 and append_ms 0
for a bar that did not come through Kafka.

A writer that was cut off and comes back may write what has been replaced meanwhile, so an update asks
whether it is the later one: by append_ms, which one flat condition a bar can ask (2 to 10 % of the
write; with ``$or`` SecantusDB reads the whole collection). Where it is not, which happens after an
outage and hardly ever else, each bar is looked at.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from vnpulse.batches import BarBatch, Series
from vnpulse.messages import DAY_MS, VIETNAM
from vnpulse.store.connection import Document, translated
from vnpulse.store.series import SeriesDirectory, Span

SYMBOLS_PER_BATCH = 200
"""Bounds how many buckets are in memory at once: about 200 symbols x 60 quarters x 2 KB."""

READERS = 4
"""Queries at once: the server looks for the next series while this process unpacks the last."""

OFFSET, APPEND_MS = 6, 7
"""Where in a bar."""

DUPLICATE_KEY = 11_000

NOT_FROM_KAFKA = ("", -1)
"""Topic and partition of bars that were put into the store directly, such as daily history."""


class Slot(NamedTuple):
    """Where a bar lies: its bucket's name, the day that the bucket begins on, and the key in it."""

    bucket: str
    day: str
    key: str


@lru_cache(maxsize=200_000)
def slot_of(interval: str, time_ms: int) -> Slot:
    """Return where the bar of ``interval`` that opened at ``time_ms`` (epoch) is kept."""
    moment = dt.datetime.fromtimestamp(time_ms / 1000, VIETNAM)
    day = bucket_day(interval, f"{moment:%Y-%m-%d}")
    if interval == "1d":
        return Slot(day[:7], day, f"{moment:%d}")
    ms = time_ms % 1000
    quarter = moment.minute // 15 * 15
    return Slot(
        f"{day}T{moment:%H}{quarter:02d}", day, f"{moment:%H%M%S}{ms:03d}" if ms else f"{moment:%H%M%S}"
    )


def bucket_day(interval: str, day: str) -> str:
    """Return the day (ISO date) that the bucket of a bar of ``day`` begins on."""
    return f"{day[:7]}-01" if interval == "1d" else day


def _day_start_ms(day: str) -> int:
    return int(dt.datetime.fromisoformat(day).replace(tzinfo=VIETNAM).timestamp() * 1000)


class BarStore:
    """Bars and how far each raw partition has been stored. All writes can be repeated."""

    def __init__(self, database: Database[Document]) -> None:
        self._bars = database["bars"]
        self._progress = database["progress"]
        self._directory = SeriesDirectory(database["series"])

    def ensure_indexes(self) -> None:
        """Create what the queries below need. Idempotent."""
        with translated("create indexes"):
            self._bars.create_index([("interval", ASCENDING), ("symbol", ASCENDING), ("day", DESCENDING)])
            self._bars.create_index([("interval", ASCENDING), ("day", DESCENDING)])
            self._directory.complete(self._bars)

    def write(self, batches: Sequence[BarBatch]) -> None:
        """Upsert every bar, then record how far the partitions are stored. Durable on return.

        The progress is written last: whoever reads it finds at least the bars before it.
        """
        places: set[tuple[Series, str]] = set()
        updates = [update for batch in batches for update in _updates(batch, places)]
        with translated("write bars"):
            if updates:
                self._directory.include(places)
                self._write_later(updates)
            advance_progress(self._progress, [(b.topic, b.partition, b.next_offset) for b in batches])

    def _write_later(self, updates: Sequence[_Update]) -> None:
        """Write ``updates``, but for bars that are stored in a later version already."""
        try:
            self._bars.bulk_write([update.upsert(if_later=True) for update in updates], ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or {f["code"] for f in failures} != {DUPLICATE_KEY}:
                raise
            refused = [updates[failure["index"]] for failure in failures]
            names = [update.name for update in refused]
            found = {d["_id"]: d["bars"] for d in self._bars.find({"_id": {"$in": names}})}
            again = [update.without_older_than(found.get(update.name, {})) for update in refused]
            if left := [update for update in again if update.bars]:
                self._bars.bulk_write([update.upsert() for update in left], ordered=False)

    def stored_through(self, topic: str) -> dict[int, int]:
        """Return, by partition, the next raw offset that has not been stored yet."""
        with translated("read progress"):
            return {d["partition"]: d["next_offset"] for d in self._progress.find({"topic": topic})}

    def symbols(self, intervals: Sequence[str]) -> set[str]:
        """Return the symbols that may have bars of these intervals. See BarHistory."""
        with translated("list series"):
            spans = [self._directory.span(interval) for interval in intervals]
        return {symbol for span in spans if span is not None for symbol in span.symbols}

    def latest_bars(
        self, intervals: Sequence[str], count: int, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[BarBatch]:
        """Yield the last ``count`` bars of each series, time ascending within a series. See BarHistory."""
        for interval in intervals:
            with translated("list series"):
                span = self._directory.span(interval)
            if span is None:
                continue
            symbols = span.symbols if wanted is None else list(filter(wanted, span.symbols))
            for start in range(0, len(symbols), SYMBOLS_PER_BATCH):
                some = symbols[start : start + SYMBOLS_PER_BATCH]
                read = partial(self._last_buckets, interval=interval, span=span, count=count)
                with translated("read bars"), ThreadPoolExecutor(READERS) as pool:
                    documents = [document for found in pool.map(read, some) for document in found]
                yield from _as_batches(documents, count)

    def _last_buckets(self, symbol: str, interval: str, span: Span, count: int) -> list[Document]:
        """Return buckets, in no order, that hold the last ``count`` bars of a series.

        Days are read newest first, bounded below by a window that grows while there are too few
        bars and older days: an unbounded "latest" query scans everything. One query a symbol,
        because ``$in`` costs SecantusDB three times as much and is not linear.
        """
        last = dt.date.fromisoformat(span.last_day)
        window = 2 * count + 31 if interval == "1d" else 2 + count // 100
        day: Document = {}
        documents: list[Document] = []
        while True:
            since = (last - dt.timedelta(days=window)).isoformat()
            query = {"interval": interval, "symbol": symbol, "day": {"$gte": since} | day}
            documents += self._bars.find(query)
            if since <= span.first_day or sum(len(d["bars"]) for d in documents) >= count:
                return documents
            day, window = {"$lt": since}, window * 4

    def between(self, symbol: str, interval: str, first_day: str, last_day: str) -> list[list[Any]]:
        """Return the bars of a series from ``first_day`` to ``last_day`` (ISO dates), time ascending."""
        return sorted(self._between({"symbol": symbol, "interval": interval}, first_day, last_day))

    def count_between(self, interval: str, first_day: str, last_day: str) -> int:
        """Return how many bars of all symbols the days hold."""
        return sum(1 for _ in self._between({"interval": interval}, first_day, last_day))

    def _between(self, query: Document, first_day: str, last_day: str) -> Iterator[list[Any]]:
        day = {"$gte": bucket_day(query["interval"], first_day), "$lte": last_day}
        begin, end = _day_start_ms(first_day), _day_start_ms(last_day) + DAY_MS
        with translated("read bars"):
            for document in self._bars.find(query | {"day": day}):
                yield from (bar for bar in document["bars"].values() if begin <= bar[0] < end)


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


class _Update(NamedTuple):
    """Bars of one bucket by their keys, where they come from (nothing: not through Kafka), and what a new
    bucket has beside them."""

    name: str
    bars: dict[str, list[Any]]
    source: Document
    created: Document

    def upsert(self, *, if_later: bool = False) -> UpdateOne:
        """Return it for MongoDB; ``if_later`` it fails as a duplicate where a bar has a later append_ms."""
        which: Document = {"_id": self.name}
        if if_later and self.source:
            which |= {f"bars.{k}.{APPEND_MS}": {"$not": {"$gt": b[APPEND_MS]}} for k, b in self.bars.items()}
        changed = {f"bars.{key}": bar for key, bar in self.bars.items()} | self.source
        return UpdateOne(which, {"$set": changed, "$setOnInsert": self.created}, upsert=True)

    def without_older_than(self, stored: Mapping[str, list[Any]]) -> _Update:
        """Return what is not older than the bars that are ``stored``, by their keys.

        Append times of two brokers are as far apart as their clocks, and offsets of two topics say
        nothing of each other: older is what is so by both.
        """
        bars = {k: b for k, b in self.bars.items() if k not in stored or not _older(b, stored[k])}
        return self._replace(bars=bars)


def _older(bar: list[Any], stored: list[Any]) -> bool:
    return bool(bar[OFFSET] < stored[OFFSET] and bar[APPEND_MS] <= stored[APPEND_MS])


def _updates(batch: BarBatch, places: set[tuple[Series, str]]) -> list[_Update]:
    """Return one update for each bucket that ``batch`` touches; add its series and day to ``places``."""
    bars: dict[tuple[int, str, str], dict[str, Any]] = defaultdict(dict)
    rows = zip(
        batch.codes.tolist(),
        batch.time_ms.tolist(),
        batch.prices.tolist(),
        batch.volume.tolist(),
        batch.offsets.tolist(),
        batch.append_ms.tolist(),
        batch.closed.tolist(),
        strict=True,
    )
    for code, time_ms, prices, volume, offset, append_ms, closed in rows:
        bucket, day, key = slot_of(batch.series[code].interval, time_ms)
        bars[code, bucket, day][key] = [time_ms, *prices, volume, offset, append_ms, closed]
    # The partition of a symbol is that of its latest writer: it moves if the topic grows.
    source = {"topic": batch.topic, "partition": batch.partition} if batch.partition >= 0 else {}
    updates = []
    for (code, bucket, day), of_bucket in bars.items():
        symbol, interval = batch.series[code]
        places.add((batch.series[code], day))
        created = {"symbol": symbol, "interval": interval, "day": day}
        updates.append(_Update(f"{symbol}:{interval}:{bucket}", of_bucket, source, created))
    return updates


def _as_batches(documents: list[Document], count: int) -> Iterator[BarBatch]:
    """Yield the last ``count`` bars of each series in ``documents``, time ascending within a series.

    One batch a raw partition; bars that did not come through Kafka first, since they are older.
    """
    by_series: dict[Series, list[tuple[list[Any], tuple[str, int]]]] = defaultdict(list)
    for document in documents:
        home = (document.get("topic", ""), document.get("partition", -1))
        by_series[Series(document["symbol"], document["interval"])] += (
            (bar, home if bar[6] >= 0 else NOT_FROM_KAFKA) for bar in document["bars"].values()
        )
    by_partition: dict[tuple[str, int], list[tuple[Series, list[list[Any]]]]] = defaultdict(list)
    for series, placed in by_series.items():
        placed.sort()
        groups: dict[tuple[str, int], list[list[Any]]] = defaultdict(list)
        for bar, home in placed[-count:]:
            groups[home].append(bar)
        for home, bars in groups.items():
            by_partition[home].append((series, bars))
    for (topic, partition), parts in sorted(by_partition.items()):
        table = np.array([bar for _, bars in parts for bar in bars], dtype=np.float64)
        codes = np.repeat(np.arange(len(parts), dtype=np.int32), [len(bars) for _, bars in parts])
        yield BarBatch(
            topic=topic,
            partition=partition,
            start_offset=-1,
            next_offset=-1,
            series=[series for series, _ in parts],
            codes=codes,
            time_ms=table[:, 0].astype(np.int64),
            prices=np.ascontiguousarray(table[:, 1:5]),
            volume=np.ascontiguousarray(table[:, 5]),
            closed=table[:, 8] != 0,
            offsets=table[:, 6].astype(np.int64),
            append_ms=table[:, 7].astype(np.int64),
        )
