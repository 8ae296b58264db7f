"""What collectors must know to go on where they were: small documents by name."""

from __future__ import annotations

from pymongo.database import Database

from vnpulse.store.connection import Document, translated


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

    def done_chunks(self, interval: str, symbols: list[str]) -> dict[str, list[str]]:
        """Return the backfilled chunks of ``symbols``: the gaps found in each, by the chunk's id."""
        with translated("read backfill"):
            found = self._chunks.find({"interval": interval, "symbol": {"$in": symbols}})
            return {d["_id"]: list(d["gaps"]) for d in found}

    def chunk_done(self, chunk: str, symbol: str, interval: str, bars: int, gaps: list[str]) -> None:
        """Record that a chunk is in the topic. Durable on return."""
        document = {
            "_id": chunk,
            "symbol": symbol,
            "interval": interval,
            "bars": bars,
            "gaps": gaps,
        }
        with translated("write backfill"):
            self._chunks.replace_one({"_id": chunk}, document, upsert=True)
