"""What people want of a running deployment: the word of ``vnpulse scale``, ``stop`` and ``restart``.

It goes through the store because a command knows no Ray, and because it must outlive every process
of the cluster: a supervisor that was restarted finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pymongo.database import Database

from vnpulse.store.connection import Document, translated

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
        which: Document = {"_id": supervisor or {"$ne": _ALL}}
        with translated("write what is wanted"):
            self._control.update_many(which, {"$set": {"stopped": True}})

    def scale(self, counts: Mapping[str, int]) -> None:
        """Want so many hosts or shards, whatever the settings say."""
        self._change({"$set": {f"scale.{name}": count for name, count in counts.items()}})

    def restart(self, names: Iterable[str]) -> None:
        """Want these actors to be started anew."""
        self._change({"$addToSet": {"restart": {"$each": sorted(names)}}})

    def restarted(self, names: Iterable[str]) -> None:
        """Note that a restart was set off."""
        self._change({"$pull": {"restart": {"$in": list(names)}}})

    def _change(self, update: Document) -> None:
        with translated("write what is wanted"):
            self._control.update_one({"_id": _ALL}, update, upsert=True)
