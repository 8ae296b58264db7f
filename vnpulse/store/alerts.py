"""Alerts in the store, and the aggregator's state beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.database import Database

from vnpulse.messages import Alert
from vnpulse.store.connection import Document, translated


class Snapshot(NamedTuple):
    """The states of one results partition.

    By symbol, the offset that the partition was read to when its state was saved, and the state. All
    states together are as of ``read_to``; single ones may be further. ``next_offset`` is where to read on:
    from there on some results were read but not decided.
    """

    next_offset: int
    read_to: int
    states: Mapping[str, tuple[int, bytes]]


class AlertStore:
    """Every alert ever made, and per results partition the state that the next ones depend on."""

    def __init__(self, database: Database[Document]) -> None:
        self._alerts = database["alerts"]
        self._state = database["alert_state"]

    def ensure_indexes(self) -> None:
        """Create what the queries below need. Idempotent."""
        with translated("create indexes"):
            self._alerts.create_index([("time_ms", DESCENDING)])
            self._alerts.create_index([("symbol", ASCENDING), ("time_ms", DESCENDING)])
            self._state.create_index([("topic", ASCENDING), ("partition", ASCENDING)])

    def write(self, alerts: Iterable[Alert]) -> None:
        """Upsert alerts by id. Durable on return."""
        operations = [
            ReplaceOne(
                {"_id": alert.alert_id},
                {
                    "_id": alert.alert_id,
                    "symbol": alert.symbol,
                    "alert_type": alert.alert_type,
                    "priority": alert.priority,
                    "time_ms": int(alert.timestamp.timestamp() * 1000),
                    "alert": msgspec.to_builtins(alert),
                },
                upsert=True,
            )
            for alert in alerts
        ]
        if operations:
            with translated("write alerts"):
                self._alerts.bulk_write(operations, ordered=False)

    def get(self, alert_id: str) -> Alert | None:
        """Return one alert."""
        with translated("read alert"):
            document = self._alerts.find_one({"_id": alert_id})
        return msgspec.convert(document["alert"], Alert) if document else None

    def ids_starting(self, prefix: str, since_ms: int) -> list[str]:
        """Return the ids of alerts since ``since_ms`` that start with ``prefix``."""
        with translated("read alerts"):
            found = self._alerts.find({"time_ms": {"$gte": since_ms}}, {"_id": 1})
            return [d["_id"] for d in found if d["_id"].startswith(prefix)]

    def recent(self, since_ms: int, limit: int, symbol: str | None = None) -> list[Alert]:
        """Return the latest ``limit`` alerts since ``since_ms`` (event time), newest first."""
        query: Document = {"time_ms": {"$gte": since_ms}}
        if symbol:
            query["symbol"] = symbol
        with translated("read alerts"):
            found = self._alerts.find(query).sort("time_ms", DESCENDING).limit(limit)
            return [msgspec.convert(d["alert"], Alert) for d in found]

    def load_snapshot(self, topic: str, partition: int) -> Snapshot:
        """Return the last snapshot; offsets are 0 if there is none."""
        with translated("read alert state"):
            found = list(self._state.find({"topic": topic, "partition": partition}))
        states = {d["symbol"]: (d["next_offset"], bytes(d["state"])) for d in found if "symbol" in d}
        whole: Document = next((d for d in found if "symbol" not in d), {"next_offset": 0})
        next_offset: int = whole["next_offset"]
        return Snapshot(next_offset, whole.get("read_to", next_offset), states)

    def save_snapshot(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        """Replace the states that changed, then the partition's offsets. Durable on return.

        Each symbol's offset is kept with its state, so a snapshot that was cut in the middle is
        harmless: the partition's offsets are the old ones, and symbols that are ahead of them skip.
        """
        home = {"topic": topic, "partition": partition}
        symbols = [
            {"_id": f"{topic}/{symbol}", **home, "symbol": symbol, "next_offset": offset, "state": state}
            for symbol, (offset, state) in snapshot.states.items()
        ]
        whole = {
            "_id": f"{topic}/{partition}",
            **home,
            "next_offset": snapshot.next_offset,
            "read_to": snapshot.read_to,
        }
        with translated("write alert state"):
            if symbols:
                self._state.bulk_write([_replacement(d) for d in symbols], ordered=False)
            self._state.bulk_write([_replacement(whole)])


def _replacement(document: Document) -> ReplaceOne[Document]:
    return ReplaceOne({"_id": document["_id"]}, document, upsert=True)
