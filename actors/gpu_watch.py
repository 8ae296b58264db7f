"""When analyzers that want a GPU are placed anew: GPUs come and go with their nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from actors.ray_port import ActorPort, ActorSpec
from actors.room import Room

log = logging.getLogger(__name__)

LOST_S = 5.0
"""GPUs that are missing for so long are lost. Who was on them is known to be dead by then, and a head that
starts anew knows its nodes again."""

SETTLE_S = 300.0
"""Who was put on a CPU goes to a GPU that has come when the cluster's GPUs have stayed the same for so long.
On a CPU analysis goes on, only slower, and a move takes a shard out for the seconds in which it loads its
state or its model: a node that comes and goes, as when a cluster launcher starts it again and again, must not
make analyzers move to and fro with it."""

ON_CPU, STARTING = "on a CPU", "starting"
"""In the place of the id of the node on whose GPU an actor is: it is not to get one; it starts on one."""

_HOLDING = ("running", "degraded", "draining")


class Actors(Protocol):
    """The actors; actors.supervisor.Supervisor is the real one."""

    def status(self) -> Sequence[Mapping[str, Any]]: ...
    def spec(self, name: str) -> ActorSpec: ...


class GpuWatch:
    """Says when there is to be another plan because of GPUs, and who keeps what it has in that plan.

    A plain state machine; ``look`` moves it.

    - GPUs that are lost make a new plan: who was on them has died and has to start somewhere anyway.
    - GPUs that have come make one after SETTLE_S. New actors get them meanwhile.
    - So does an actor that waits for a node though the plan has a GPU for it (somebody else uses it, or its
      node lacks something else): it is put on a CPU. Ray is asked for room for it on a GPU, and another plan
      is made when that is there, or when the cluster's GPUs change and have settled.

    Who is on a GPU and answers keeps it in every plan.
    """

    def __init__(self, port: ActorPort, now: Callable[[], float]) -> None:
        self._port = port
        self._now = now
        self._gpus: dict[str, float] | None = None
        self._since = 0.0
        self._lost = False
        self._settled = False
        self._in_vain: dict[str, Room] = {}
        """Who is on a CPU meanwhile, and the room on a GPU that Ray was asked for."""

    def look(self, gpus: Mapping[str, float], actors: Actors) -> bool:
        """Take note of each node's GPUs and of how the actors are; True if a new plan is due."""
        now = self._now()
        before, self._gpus = self._gpus, dict(gpus)
        due = False
        if before != self._gpus:
            self._since, self._settled = now, False
            self._lost |= any(gpus.get(node, 0.0) < count for node, count in (before or {}).items())
        elif self._lost and now - self._since >= LOST_S:
            log.warning("GPUs of this Ray cluster are lost; those that are left: %g", sum(gpus.values()))
            self._lost, due = False, True
        elif not self._settled and now - self._since >= SETTLE_S:
            self.close()
            self._settled = due = True
        rows = {row["name"]: row for row in actors.status()}
        for name in self._in_vain.keys() - rows.keys():
            self._give_up(name)
        for name, row in rows.items():
            if name in self._in_vain:
                if self._settled and self._in_vain[name].is_there():
                    log.info("%s: a GPU can be spared for it now", name)
                    self._give_up(name)
                    due = True
            elif row["waits_for_node"] and row["num_gpus"]:
                log.warning("%s found no node with a GPU to spare; on a CPU until there is one", name)
                self._in_vain[name] = Room(self._port, actors.spec(name))
                due = True
        return due

    def close(self) -> None:
        """Want no room any more."""
        for name in list(self._in_vain):
            self._give_up(name)

    def _give_up(self, name: str) -> None:
        self._in_vain[name].release()
        del self._in_vain[name]

    def seats(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """Return, by name, the node whose GPU an actor has and keeps, or STARTING, or ON_CPU."""
        seats = {}
        for row in rows:
            holds = row["status"] in _HOLDING
            if holds and row["on_gpu"] and "node_id" in row:
                seats[row["name"]] = row["node_id"]
            elif row["name"] in self._in_vain or (holds and not row["on_gpu"] and not self._settled):
                seats[row["name"]] = ON_CPU
            elif row["on_gpu"]:
                seats[row["name"]] = STARTING
        return seats
