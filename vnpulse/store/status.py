"""What the running actors say of themselves, for ``vnpulse health`` and for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo import DeleteMany, ReplaceOne
from pymongo.database import Database

from vnpulse.store.connection import Document, translated


class StatusStore:
    """One document an actor, replaced every second by its supervisor; soft state."""

    def __init__(self, database: Database[Document]) -> None:
        self._status = database["status"]
        self._database = database

    def replace(self, rows: Iterable[dict[str, Any]], supervisor: str) -> None:
        """Make ``rows`` all that ``supervisor`` says; a row names its actor under ``name``."""
        marked = [{**row, "_id": row["name"], "supervisor": supervisor} for row in rows]
        operations: list[ReplaceOne[Document] | DeleteMany] = [
            ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in marked
        ]
        gone = {"supervisor": supervisor, "_id": {"$nin": [row["_id"] for row in marked]}}
        with translated("write status"):
            self._status.bulk_write([*operations, DeleteMany(gone)], ordered=False)

    def read(self) -> list[dict[str, Any]]:
        """Return the last status of every actor, by name."""
        with translated("read status"):
            return sorted(self._status.find({}, {"_id": 0}), key=lambda row: str(row["name"]))

    def clear(self) -> None:
        """Remove what a deployment that ended without a word left behind."""
        with translated("write status"):
            self._status.delete_many({})

    def ping(self) -> str:
        """Return the server's name and version. Raises StoreUnavailable."""
        with translated("ping"):
            self._database.command("ping")
            process = self._database.command("serverStatus").get("process", "mongod")
            version = self._database.client.server_info().get("version", "?")
        return f"{process} (MongoDB {version})"
