"""What people want of a running deployment: the word of ``vnpulse scale``, ``stop`` and ``restart``.

It goes through the store because a command knows no Ray, and because it must outlive every process
of the cluster: a supervisor that was restarted finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pymongo.database import Database

from vnpulse.store.connection import Document, translated

_POOLS = "pools"
_ALL = "all"
"""The document that every supervisor heeds; the others are named after one."""


class Desired(NamedTuple):
    """What one supervisor should do.

    ``owner`` is the submission that follows it: of several, the latest. ``scale``: hosts or shards
    by the name of a placement, where they differ from the settings.
    """

    owner: str
    stopped: bool
    scale: dict[str, int]
    restart: tuple[str, ...]


class PoolState(NamedTuple):
    """How many shards of an analyzer are called, and how many there are to be."""

    serving: int
    wanted: int


class ControlStore:
    """A document for each supervisor and one for all of them. Every write can be repeated."""

    def __init__(self, database: Database[Document]) -> None:
        self._control = database["control"]

    def read(self, supervisor: str) -> Desired:
        """Return what is wanted of ``supervisor``."""
        with translated("read what is wanted"):
            found = {row["_id"]: row for row in self._control.find({"_id": {"$in": [supervisor, _ALL]}})}
        own, common = found.get(supervisor, {}), found.get(_ALL, {})
        return Desired(
            own.get("owner", ""),
            own.get("stopped", False),
            dict(common.get("scale", {})),
            tuple(common.get("restart", ())),
        )

    def run(self, supervisor: str, owner: str) -> str:
        """Want what ``supervisor`` looks after to run, for ``owner``; return whose it was ("": nobody's)."""
        fields = {"owner": owner, "stopped": False}
        with translated("write what is wanted"):
            before = self._control.find_one_and_update({"_id": supervisor}, {"$set": fields}, upsert=True)
        return str((before or {}).get("owner", ""))

    def stop(self, supervisor: str | None = None) -> None:
        """Want everything, or what ``supervisor`` looks after, to finish what is in hand and end."""
        which: Document = {"_id": supervisor or {"$nin": [_ALL, _POOLS]}}
        with translated("write what is wanted"):
            self._control.update_many(which, {"$set": {"stopped": True}})

    def scale(self, counts: Mapping[str, int]) -> None:
        """Want so many hosts or shards, whatever the settings say."""
        self._change({"$set": {f"scale.{name}": count for name, count in counts.items()}})

    def unscale(self, names: Iterable[str]) -> None:
        """Want again what the settings say."""
        self._change({"$unset": {f"scale.{name}": "" for name in names}})

    def pool(self, kind: str) -> PoolState | None:
        """Return how many shards of ``kind`` there are; None before any supervisor has said it."""
        with translated("read how many shards there are"):
            found = (self._control.find_one({"_id": _POOLS}) or {}).get(kind, {})
        return PoolState(found["serving"], found["wanted"]) if "serving" in found else None

    def serve(self, kind: str, shards: int) -> None:
        """Have so many shards of ``kind`` called from now on."""
        self._set_pool({f"{kind}.serving": shards})

    def want(self, kind: str, shards: int) -> None:
        """Say how many shards of ``kind`` there are to be."""
        self._set_pool({f"{kind}.wanted": shards})

    def _set_pool(self, fields: Document) -> None:
        with translated("write how many shards there are"):
            self._control.update_one({"_id": _POOLS}, {"$set": fields}, upsert=True)

    def restart(self, names: Iterable[str]) -> None:
        """Want these actors to be started anew."""
        self._change({"$addToSet": {"restart": {"$each": sorted(names)}}})

    def restarted(self, names: Iterable[str]) -> None:
        """Note that a restart was set off."""
        self._change({"$pull": {"restart": {"$in": list(names)}}})

    def _change(self, update: Document) -> None:
        with translated("write what is wanted"):
            self._control.update_one({"_id": _ALL}, update, upsert=True)
