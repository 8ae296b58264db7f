"""What the running actors say of themselves, for ``vnpulse health`` and for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo import ReplaceOne
from pymongo.database import Database

from vnpulse.store.connection import Document, translated


class StatusStore:
    """One document an actor, replaced every few seconds by its supervisor; soft state."""

    def __init__(self, database: Database[Document]) -> None:
        self._status = database["status"]
        self._database = database

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace the status of each actor; a row names it under ``name``."""
        operations = [
            ReplaceOne({"_id": row["name"]}, {"_id": row["name"], **row}, upsert=True) for row in rows
        ]
        if operations:
            with translated("write status"):
                self._status.bulk_write(operations, ordered=False)

    def read(self) -> list[dict[str, Any]]:
        """Return the last status of every actor, by name."""
        with translated("read status"):
            return sorted(self._status.find({}, {"_id": 0}), key=lambda row: str(row["name"]))

    def forget(self, names: Iterable[str]) -> None:
        """Remove actors that were stopped on purpose."""
        with translated("write status"):
            self._status.delete_many({"_id": {"$in": list(names)}})

    def ping(self) -> str:
        """Return the server's name and version. Raises StoreUnavailable."""
        with translated("ping"):
            self._database.command("ping")
            process = self._database.command("serverStatus").get("process", "mongod")
            version = self._database.client.server_info().get("version", "?")
        return f"{process} (MongoDB {version})"
