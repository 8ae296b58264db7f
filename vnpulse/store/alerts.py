"""Alerts in the store, and the aggregator's state beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.database import Database

from vnpulse.messages import Alert
from vnpulse.store.connection import Document, translated


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

    def load_states(self, topic: str, partition: int) -> dict[str, tuple[int, bytes]]:
        """Return, by symbol, (next offset, state) as of the last ``save_states``."""
        with translated("read alert state"):
            found = self._state.find({"topic": topic, "partition": partition})
            return {d["symbol"]: (d["next_offset"], bytes(d["state"])) for d in found}

    def save_states(self, topic: str, partition: int, states: Mapping[str, tuple[int, bytes]]) -> None:
        """Replace, by symbol, (next offset, state). Each is atomic by itself; durable on return.

        The offset is kept with each symbol's state, so a write that was cut in the middle is
        finished by the redelivery: symbols that have it already skip it.
        """
        operations = [
            ReplaceOne(
                {"_id": f"{topic}/{symbol}"},
                {
                    "_id": f"{topic}/{symbol}",
                    "topic": topic,
                    "partition": partition,
                    "symbol": symbol,
                    "next_offset": next_offset,
                    "state": state,
                },
                upsert=True,
            )
            for symbol, (next_offset, state) in states.items()
        ]
        if operations:
            with translated("write alert state"):
                self._state.bulk_write(operations, ordered=False)
