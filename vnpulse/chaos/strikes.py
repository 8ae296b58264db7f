"""Carrying out one fault: whom it hits, what is done to them, and when it is over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from vnpulse.chaos.faults import Fault, Planned
from vnpulse.chaos.relay import Relay
from vnpulse.embedded.process import ManagedProcess

SUSPENDED_S = 4.0
"""Longer than a poll and a commit, shorter than what the supervisor takes for a hanging process."""

NODE_SUSPENDED_S = 10.0
"""Longer than a node may be silent."""

CUT_S = 6.0
LONG_CUT_S = 45.0
"""Longer than the clients wait for an answer: 30 s, Kafka's and the store's alike."""

_CONSUMERS = ("storage", "analysis", "aggregation", "notification")
_ANALYZERS = ("technical", "sentiment")

_ACTORS = {
    Fault.KILL_CONSUMER: _CONSUMERS,
    Fault.SUSPEND_CONSUMER: _CONSUMERS,
    Fault.HANG_CONSUMER: _CONSUMERS,
    Fault.KILL_ANALYZER: _ANALYZERS,
    Fault.SUSPEND_ANALYZER: _ANALYZERS,
    Fault.KILL_SUPERVISOR: ("supervisor",),
}
_PARTS = {
    Fault.KILL_STORE: ("mongo", None),
    Fault.SUSPEND_STORE: ("mongo", None),
    Fault.KILL_BROKER: ("kafka", None),
    Fault.SUSPEND_BROKER: ("kafka", None),
    Fault.KILL_DRIVER: ("pipelines", None),
    Fault.KILL_HEAD: ("ray", None),
    Fault.KILL_GCS: ("ray", "gcs_server"),
    Fault.KILL_RAYLET: ("ray-worker", "raylet"),
    Fault.SUSPEND_RAYLET: ("ray-worker", "raylet"),
}
"""The part, and which of its processes if not the one that it was started as."""

_LINES = {
    Fault.CUT_STORE: "mongo",
    Fault.LONG_CUT_STORE: "mongo",
    Fault.RESET_STORE: "mongo",
    Fault.CUT_BROKER: "kafka",
    Fault.LONG_CUT_BROKER: "kafka",
    Fault.RESET_BROKER: "kafka",
    Fault.CUT_GCS: "ray",
}
"""The part whose relay is cut."""


def relayed(faults: Iterable[Fault]) -> set[str]:
    """Return the parts that must have a relay in front of them for ``faults``."""
    return {_LINES[fault] for fault in faults if fault in _LINES}


@dataclass
class Struck:
    """A fault that was carried out."""

    planned: Planned
    victim: str
    began: float = field(default_factory=time.monotonic)
    process: tuple[str, ManagedProcess] | None = None
    """A part whose process must die of it."""
    actor: tuple[str, int] | None = None
    """An actor, by name and process id, that must be replaced."""
    timer: threading.Timer | None = field(default=None, repr=False)

    def is_over(self) -> bool:
        """Say whether what held somebody up does so no more."""
        return self.timer is None or not self.timer.is_alive()


class Parts(Protocol):
    """What can be struck: a Deployment."""

    def process(self, name: str) -> ManagedProcess | None:
        """Return the process of a part: "kafka", "mongo", "ray", "ray-worker" or "pipelines"."""

    def heal(self) -> list[str]:
        """Bring back what has died; return a line for each part that had."""


class Striker:
    """Strikes parts of a deployment, and the relays in front of them. Only processes of that deployment
    are ever signalled. What ends by itself ends by a timer, whatever else happens meanwhile."""

    def __init__(self, deployment: Parts, relays: Mapping[str, Relay]) -> None:
        self._deployment = deployment
        self._relays = relays

    def strike(self, planned: Planned, rows: Sequence[Mapping[str, Any]]) -> Struck | None:
        """Carry out ``planned`` on one of the actors in ``rows``, or on a part.

        Returns None, and does nothing, if whom it would hit is not there at the moment. Rows may be old:
        only processes of ours are hit.
        """
        if planned.fault in _LINES:
            return self._disturb(planned, _LINES[planned.fault])
        if planned.fault in _ACTORS:
            return self._strike_actor(planned, rows)
        return self._strike_part(planned, *_PARTS[planned.fault])

    def living(self) -> set[int]:
        """Return the process ids of everything that our Ray nodes run."""
        nodes = (self._deployment.process(part) for part in ("ray", "ray-worker"))
        return {pid for node in nodes if node is not None for pid in node.descendants()}

    def _disturb(self, planned: Planned, part: str) -> Struck | None:
        relay = self._relays[part]
        if relay.is_cut:
            return None
        struck = Struck(planned, f"line to {part}")
        if planned.fault.name.startswith("RESET"):
            relay.reset()
        else:
            relay.cut()
            _end(struck, LONG_CUT_S if planned.fault.name.startswith("LONG") else CUT_S, relay.mend)
        return struck

    def _strike_actor(self, planned: Planned, rows: Sequence[Mapping[str, Any]]) -> Struck | None:
        kinds, living = _ACTORS[planned.fault], self.living()
        able = [row for row in rows if str(row["name"]).split("/")[0] in kinds and row.get("pid") in living]
        if not able:
            return None
        row = able[int(planned.pick * len(able))]
        name, pid = str(row["name"]), int(row["pid"])
        struck = Struck(planned, name)
        if _send(struck, pid):
            struck.actor = name, pid
        return struck

    def _strike_part(self, planned: Planned, part: str, name: str | None) -> Struck | None:
        process = self._deployment.process(part)
        if process is None or not process.alive:
            return None
        pid = process.descendant(name) if name else process.command_pid
        if pid is None:
            return None
        struck = Struck(planned, f"{part}: {name}" if name else part)
        if _send(struck, pid):
            struck.process = part, process
        return struck


def _send(struck: Struck, pid: int) -> bool:
    """Do to ``pid`` what the fault says; return whether it must be replaced."""
    fault = struck.planned.fault
    if fault.name.startswith("KILL"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True
    # By a descriptor: when it is to go on, its number may be somebody else's.
    process = os.pidfd_open(pid)
    signal.pidfd_send_signal(process, signal.SIGSTOP)
    if fault.name.startswith("HANG"):
        os.close(process)
        return True

    def go_on() -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGCONT)
        os.close(process)

    _end(struck, NODE_SUSPENDED_S if fault is Fault.SUSPEND_RAYLET else SUSPENDED_S, go_on)
    return False


def _end(struck: Struck, seconds: float, end: Callable[[], None]) -> None:
    struck.timer = threading.Timer(seconds, end)
    struck.timer.daemon = True
    struck.timer.start()
