"""Articles in the store: one document an article, by its news_id; an edit replaces it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.database import Database

from vnpulse.batches import NewsBatch
from vnpulse.messages import NewsItem
from vnpulse.store.bars import advance_progress
from vnpulse.store.connection import Document, translated


class NewsStore:
    """Articles and how far each raw partition has been stored. All writes can be repeated."""

    def __init__(self, database: Database[Document]) -> None:
        self._news = database["news"]
        self._progress = database["progress"]

    def ensure_indexes(self) -> None:
        """Create what the queries below need. Idempotent."""
        with translated("create indexes"):
            self._news.create_index([("published_ms", ASCENDING)])
            self._news.create_index([("append_ms", ASCENDING)])
            self._news.create_index([("symbols", ASCENDING), ("published_ms", ASCENDING)])

    def write(self, batches: Sequence[NewsBatch]) -> None:
        """Upsert every article, then record how far the partitions are stored. Durable on return."""
        latest: dict[str, Document] = {}
        for batch in batches:
            rows = zip(batch.items, batch.symbols, batch.offsets, batch.append_ms, strict=True)
            for item, symbols, offset, append_ms in rows:
                latest[item.news_id] = {
                    "_id": item.news_id,
                    "item": msgspec.to_builtins(item),
                    "symbols": list(symbols),
                    "published_ms": int(item.published_at.timestamp() * 1000),
                    "topic": batch.topic,
                    "partition": batch.partition,
                    "offset": offset,
                    "append_ms": append_ms,
                }
        with translated("write news"):
            if latest:
                self._news.bulk_write(
                    [ReplaceOne({"_id": key}, document, upsert=True) for key, document in latest.items()],
                    ordered=False,
                )
            advance_progress(self._progress, [(b.topic, b.partition, b.next_offset) for b in batches])

    def stored_through(self, topic: str) -> dict[int, int]:
        """Return, by partition, the next raw offset that has not been stored yet."""
        with translated("read progress"):
            return {d["partition"]: d["next_offset"] for d in self._progress.find({"topic": topic})}

    def newest_append_ms(self) -> int | None:
        """Return when the broker got the newest stored article, epoch milliseconds; None without any."""
        with translated("read news"):
            newest = self._news.find_one({}, {"append_ms": 1}, sort=[("append_ms", DESCENDING)])
        return newest["append_ms"] if newest else None

    def recent_news(self, since_ms: int) -> Iterator[tuple[NewsItem, tuple[str, ...], int, int, int]]:
        """Yield (article, symbols, partition, offset, append_ms) of what the broker got since
        ``since_ms``, by time of publication."""
        with translated("read news"):
            query = {"append_ms": {"$gte": since_ms}}
            for d in self._news.find(query).sort("published_ms", ASCENDING):
                item = msgspec.convert(d["item"], NewsItem)
                yield item, tuple(d["symbols"]), d["partition"], d["offset"], d["append_ms"]

    def ids_since(self, since_ms: int) -> set[str]:
        """Return the ids of the articles published since ``since_ms``."""
        with translated("read news"):
            return {d["_id"] for d in self._news.find({"published_ms": {"$gte": since_ms}}, {"_id": 1})}
