"""What collectors must know to go on where they were: small documents by name."""

from __future__ import annotations

from typing import NamedTuple

from pymongo.database import Database

from vnpulse.store.connection import Document, translated


class DoneChunk(NamedTuple):
    """Bars of a series from ``first`` to ``last`` (ISO dates) that were sent, and the gaps among them."""

    symbol: str
    interval: str
    first: str
    last: str
    bars: int
    gaps: list[str]


class CollectionStore:
    """One opaque state a collector, and what a backfill has done. All writes can be repeated."""

    def __init__(self, database: Database[Document]) -> None:
        self._state = database["collection_state"]
        self._chunks = database["backfill"]

    def load(self, name: str) -> bytes | None:
        """Return the state saved under ``name``."""
        with translated("read collection state"):
            document = self._state.find_one({"_id": name})
        return bytes(document["state"]) if document else None

    def save(self, name: str, state: bytes) -> None:
        """Replace the state of ``name``. Durable on return."""
        with translated("write collection state"):
            self._state.replace_one({"_id": name}, {"_id": name, "state": state}, upsert=True)

    def done_chunks(self, interval: str, symbols: list[str]) -> list[DoneChunk]:
        """Return the chunks of ``symbols`` that have been backfilled."""
        with translated("read backfill"):
            found = self._chunks.find({"interval": interval, "symbol": {"$in": symbols}}, {"_id": 0})
            return [DoneChunk(**document) for document in found]

    def chunk_done(self, chunk: DoneChunk) -> None:
        """Record that a chunk is in the topic. Durable on return."""
        key = f"{chunk.symbol}:{chunk.interval}:{chunk.first}:{chunk.last}"
        with translated("write backfill"):
            self._chunks.replace_one({"_id": key}, {"_id": key, **chunk._asdict()}, upsert=True)
