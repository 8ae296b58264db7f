"""How many shards each analyzer has, and how their number changes under way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from actors.analyzers import shard_name
from actors.autoscaler import LOOK_PERIOD_S, Autoscaler, Bounds, Seen
from actors.ray_port import ActorPort, ActorSpec
from actors.room import Room
from vnpulse.placement import AnalyzerPlacement, PlacementSettings
from vnpulse.store.control import PoolState

log = logging.getLogger(__name__)

KINDS = ("technical", "sentiment")

RELEASE_S = 5.0
"""From when fewer shards are called until the others end: everybody has heard of it by then (ServingShards
looks every second), and what they were asked before is answered."""

RETRY_S = 300.0
"""How long no other shard is tried after one did not come to run."""

HOLD_S = 3.0
"""How long room for another shard is held before it is used: in that time the supervisor has noticed whose
death has made it, and that one's successor goes first."""

ASKED_S = 5.0
"""From when on room that is there at once for the asking is not."""

NODE_WITHIN_S = 900.0
"""So long a cluster that grows by itself may take to start a node, with all that is installed on it."""

STILL_LATE_S = 60.0
"""A wish for another shard ends when the pool was not late for so long; bars come once a minute."""

_ANSWERING = ("running", "degraded")

Rows = Mapping[str, Mapping[str, Any]]
"""What Supervisor.status says, by actor."""


class PoolStore(Protocol):
    """Where the numbers are kept; vnpulse.store.control.ControlStore is the real one."""

    def pool(self, kind: str) -> PoolState | None: ...
    def serve(self, kind: str, shards: int) -> None: ...
    def want(self, kind: str, shards: int) -> None: ...


class Shards(Protocol):
    """The actors; actors.supervisor.Supervisor is the real one."""

    def status(self) -> Sequence[Mapping[str, Any]]: ...
    def handle(self, name: str) -> Any: ...
    def spec(self, name: str) -> ActorSpec: ...


@dataclass
class _Wish:
    """Another shard, and the room for it that Ray was asked for."""

    room: Room
    why: str
    asked_at: float
    late_at: float
    there_at: float | None = None


@dataclass
class _Pool:
    """What is known of one analyzer's shards."""

    kind: str
    bounds: Bounds
    autoscaler: Autoscaler
    serving: int
    wanted: int
    why: str = ""
    preparing: list[Any] | None = None
    leaving: int = 0
    """Shards that were called a moment ago are kept: so many in all, until ``release_at``."""
    release_at: float = 0.0
    look_at: float = 0.0
    wish: _Wish | None = None
    said: str = ""

    def numbered(self) -> list[str]:
        """Return the names of the shards that are to run now."""
        return [shard_name(self.kind, n) for n in range(max(self.serving, self.wanted, self.leaving))]


class AnalyzerPools:
    """Brings each analyzer to the number of shards that is wanted, by hand or by its backlog.

    A plain state machine; ``step`` moves it. More shards are made first, load their state and then
    are called; fewer are called only when those that stay have loaded what they take over, and
    then the others end. So nobody is called who is not warm, and who is called in the moment
    between loads what it lacks from the store (see vnpulse.analysis).

    Before a shard more is made because of the backlog there must be room for it. That is asked of Ray,
    where it shows as demand, for one shard at a time; the others work on meanwhile.

    The numbers are in the store: a supervisor that is started anew goes on with them, and those who
    call the shards read there how many there are. A number set by hand goes before everything.
    Of several supervisors that use the analyzers, the one that supervises analysis decides.
    """

    def __init__(
        self,
        port: ActorPort,
        store: PoolStore,
        placement: PlacementSettings,
        most: Mapping[str, int],
        now: Callable[[], float],
        by_hand: Mapping[str, int],
        running: Sequence[str],
    ) -> None:
        """``most``: more shards than partitions would do nothing. ``by_hand``: what people have set.

        ``running`` are the names of all actors that do: where no shard does, those that are wanted
        serve at once. Raises StoreUnavailable.
        """
        self._port = port
        self._store = store
        self._most = most
        self._now = now
        self.by_hand = by_hand
        self._pools = [self._begin(kind, getattr(placement, kind), running) for kind in KINDS]

    def _begin(self, kind: str, placement: AnalyzerPlacement, running: Sequence[str]) -> _Pool:
        limit = self._most.get(kind, max(placement.shards, self.by_hand.get(kind, 1)))
        least = min(placement.shards, limit)
        scaling = placement.autoscale
        bounds = (
            Bounds(
                least, min(scaling.max, self._most.get(kind, scaling.max)), scaling.behind_s, scaling.calm_s
            )
            if scaling is not None
            else Bounds(least, least, 0.0, 0.0)
        )
        state = self._store.pool(kind) if any(name.startswith(f"{kind}/") for name in running) else None
        pool = _Pool(kind, bounds, Autoscaler(bounds), least, least)
        if state is not None:
            pool.serving = state.serving
            pool.wanted = max(least, min(bounds.most, state.wanted))
        pool.wanted = self._set_by_hand(kind) or pool.wanted
        if state is None:
            pool.serving = pool.wanted
        self._store.want(kind, pool.wanted)
        self._store.serve(kind, pool.serving)
        return pool

    def _set_by_hand(self, kind: str) -> int:
        return min(self.by_hand.get(kind, 0), self._most.get(kind, self.by_hand.get(kind, 0)))

    def numbers(self) -> dict[str, int]:
        """Return how many shards of each analyzer are to run now."""
        return {pool.kind: len(pool.numbered()) for pool in self._pools}

    def status(self) -> list[dict[str, Any]]:
        """Return, for people, each pool's numbers and the reason of what is wanted."""
        return [
            {
                "pool": pool.kind,
                "serving": pool.serving,
                "wanted": pool.wanted,
                "least": pool.bounds.least,
                "most": pool.bounds.most,
                "by_hand": pool.kind in self.by_hand,
                "why": pool.why,
            }
            for pool in self._pools
        ]

    def step(self, shards: Shards) -> bool:
        """Move every pool on by what can be done without waiting; True if other actors are to run now."""
        before = self.numbers()
        rows = {row["name"]: row for row in shards.status()}
        now = self._now()
        for pool in self._pools:
            if now >= pool.release_at:
                pool.leaving = 0
            by_hand = self._set_by_hand(pool.kind)
            if by_hand and by_hand != pool.wanted:
                self._want(pool, by_hand, "set by hand")
            elif pool.serving != pool.wanted:
                self._move(pool, shards, rows, now)
            elif not pool.leaving and now >= pool.look_at:
                pool.look_at = now + LOOK_PERIOD_S
                if by_hand:
                    self._want(pool, by_hand, "set by hand")
                else:
                    self._decide(pool, shards, rows, now)
        return self.numbers() != before

    def close(self) -> None:
        """Want no other shard any more."""
        for pool in self._pools:
            self._release(pool)

    def _decide(self, pool: _Pool, shards: Shards, rows: Rows, now: float) -> None:
        askers = [row for row in rows.values() if pool.kind in row.get("behind_s", ())]
        if any(row.get("failing_since_s") for row in askers):
            self._release(pool)
            return  # The broker or a shard is away: more shards would not help.
        behind = [row["behind_s"][pool.kind] for row in askers]
        if not behind:
            state = self._store.pool(pool.kind)
            self._want(pool, state.wanted if state is not None else pool.wanted, "as analysis wants it")
            return
        if pool.bounds.least == pool.bounds.most:
            self._want(pool, pool.bounds.least, "the settings")
            return
        names = pool.numbered()
        if not all(rows.get(name, {}).get("status") in _ANSWERING for name in names):
            self._release(pool)
            return
        if pool.wish is not None:
            self._await_room(pool, pool.wish, max(behind), rows.values(), now)
            return
        worked_s = sum(rows[name].get("worked_s", 0.0) for name in names)
        decision = pool.autoscaler.look(now, pool.serving, Seen(max(behind), worked_s))
        if decision.shards > pool.serving:
            spec = shards.spec(names[0])
            why = f"{decision.why}, and no node has room for another shard ({spec.needs})"
            pool.wish = _Wish(Room(self._port, spec), why, now, now)
        elif decision.shards != pool.serving or max(behind) <= pool.bounds.behind_s or not pool.said:
            pool.said = ""
            self._want(pool, decision.shards, decision.why)

    def _await_room(
        self, pool: _Pool, wish: _Wish, behind_s: float, rows: Iterable[Mapping[str, Any]], now: float
    ) -> None:
        """Add a shard when there is room for it, and nobody else waits for that."""
        if behind_s > pool.bounds.behind_s:
            wish.late_at = now
        elif now - wish.late_at > STILL_LATE_S:
            pool.said = ""
            self._want(pool, pool.serving, "keeps up")
            return
        there = wish.room.is_there()
        if there is None:
            return
        if not there:
            wish.there_at = None
            if now - wish.asked_at > NODE_WITHIN_S:
                self._release(pool)
                pool.look_at, pool.said = now + RETRY_S, ""
                self._say(pool, f"{wish.why}; none came within {NODE_WITHIN_S / 60:.0f} minutes")
            elif now - wish.asked_at > ASKED_S:
                self._say(pool, f"{wish.why}; Ray is asked for one", logging.WARNING)
        elif any(row["status"] not in _ANSWERING and not row["gave_up"] for row in rows):
            self._release(pool)  # It was theirs, or may be; who still needs room asks again.
        elif wish.there_at is None:
            wish.there_at = now
        elif now - wish.there_at >= HOLD_S:
            self._want(pool, pool.serving + 1, wish.why.partition(",")[0])

    def _release(self, pool: _Pool) -> None:
        """Want no room, and no node for it, any more."""
        if pool.wish is not None:
            pool.wish.room.release()
            pool.wish = None

    def _move(self, pool: _Pool, shards: Shards, rows: Rows, now: float) -> None:
        names = pool.numbered()
        states = [rows.get(name, {}).get("status") for name in names]
        if not all(state in _ANSWERING for state in states):
            faulted = [n for n, state in zip(names, states, strict=True) if state == "faulted"]
            new = [name for name in faulted if name in names[pool.serving :]]
            if pool.kind in self.by_hand:
                return
            if new:
                self._say(pool, f"{new[0]} did not come to run: {rows[new[0]]['error']}")
                self._want(pool, pool.serving, pool.said)
                pool.look_at = now + RETRY_S
            elif rows.get(names[-1], {}).get("waits_for_node"):
                self._want(pool, pool.serving, "others took the room of another shard")
            return
        if pool.preparing is None:
            pool.preparing = [
                self._port.call(shards.handle(name), "prepare", pool.serving, pool.wanted)
                for name in names[: pool.wanted]
            ]
        if not all(self._port.is_done(pending) for pending in pool.preparing):
            return
        preparing, pool.preparing = pool.preparing, None
        try:
            for pending in preparing:
                self._port.answer(pending, timeout_s=0)
        except Exception as error:  # it died, or the store is away: all of them once more
            log.warning("%s: a shard could not take over: %s", pool.kind, error)
            return
        self._store.serve(pool.kind, pool.wanted)
        if pool.wanted < pool.serving:
            pool.leaving, pool.release_at = pool.serving, now + RELEASE_S
        pool.serving, pool.said = pool.wanted, ""
        log.info("%s: shards that serve: %d", pool.kind, pool.serving)

    def _want(self, pool: _Pool, number: int, why: str) -> None:
        self._release(pool)
        pool.why = why
        if number != pool.wanted:
            # Said before it is done: a shard that is made reads what it has to know.
            self._store.want(pool.kind, number)
            log.info("%s: from %d to %d shards: %s", pool.kind, pool.wanted, number, why)
            pool.wanted, pool.preparing = number, None

    def _say(self, pool: _Pool, why: str, level: int = logging.ERROR) -> None:
        """Note why the number is not what it should be; say it aloud once, until that has passed."""
        pool.why = why
        if not pool.said:
            log.log(level, "%s: %s", pool.kind, why)
        pool.said = why
