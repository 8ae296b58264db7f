"""The supervisor: what should run, does; what died or hangs is replaced; stopping is in order."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from actors.ray_port import ActorGone, ActorPort, ActorSpec, NameTaken

log = logging.getLogger(__name__)

PROBE_PERIOD_S = 1.0
PROBE_JITTER = 0.2
"""Probes of many actors are spread by this fraction of the period, so that they do not come as one burst."""

PROBE_TIMEOUT_S = 10.0
"""A probe costs milliseconds; ten seconds without an answer is a hanging process or a dying node."""

PROBES_FAILED_LIMIT = 3
START_TIMEOUT_S = 300.0
"""Starting loads state from the store, or a model: minutes for the whole market, not seconds."""

RESTART_BACKOFF_S = 0.5
RESTART_BACKOFF_CAP_S = 30.0
STABLE_AFTER_S = 60.0
"""An actor that ran this long is not in a crash loop any more: its next restart is immediate."""

STOP_TIMEOUT_S = 30.0


class Status(Enum):
    """Where an actor stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    """Answers, but says that its work fails (the store is away, say) or that it is not alive inside."""
    FAULTED = "faulted"
    """Dead or not answering; waiting for its next start."""


@dataclass
class _Managed:
    """What the supervisor knows of one actor."""

    spec: ActorSpec
    status: Status = Status.STOPPED
    handle: Any = None
    pending: Any = None
    pending_since: float = 0.0
    probing: bool = False
    next_probe: float = 0.0
    failed_probes: int = 0
    restarts: int = 0
    failures: int = 0
    not_before: float = 0.0
    running_since: float = 0.0
    owned: bool = True
    health: dict[str, Any] | None = None
    error: str = ""


class Supervisor:
    """Reconciles the actors of ``specs`` with what runs. A plain state machine: ``step`` moves it.

    It holds no hard state: which actors there are comes from the configuration, what they have
    done from Kafka and the store. At most one call to each actor is outstanding, and no step waits
    for one, so an actor that hangs delays nobody else.

    An actor of a later stage is started when all of the earlier stages run once; after that each
    is replaced by itself.
    """

    def __init__(
        self, port: ActorPort, specs: Sequence[ActorSpec], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._port = port
        self._now = now
        self._actors = [_Managed(spec) for spec in sorted(specs, key=lambda s: s.stage)]

    def claim(self) -> None:
        """Check that nobody else runs an actor that cannot be shared. Raises NameTaken."""
        taken = []
        for actor in self._actors:
            if not actor.spec.shared:
                try:
                    self._port.find(actor.spec.name)
                except ActorGone:
                    continue
                taken.append(actor.spec.name)
        if taken:
            raise NameTaken(", ".join(taken))

    def step(self) -> None:
        """Move every actor on by what can be done without waiting."""
        stages = sorted({a.spec.stage for a in self._actors})
        for stage in stages:
            of_stage = [a for a in self._actors if a.spec.stage == stage]
            for actor in of_stage:
                try:
                    self._step_one(actor)
                except Exception as error:
                    # Whatever goes wrong with one actor must not stop the others being looked after.
                    log.exception("supervising %s", actor.spec.name)
                    self._fault(actor, f"{type(error).__name__}: {error}")
            if any(actor.running_since == 0 for actor in of_stage):
                return

    def _step_one(self, actor: _Managed) -> None:
        now = self._now()
        if actor.status in (Status.STOPPED, Status.FAULTED):
            if now >= actor.not_before:
                self._start(actor, now)
        elif actor.pending is not None:
            if self._port.is_done(actor.pending):
                self._take_answer(actor, now)
            elif now - actor.pending_since > (PROBE_TIMEOUT_S if actor.probing else START_TIMEOUT_S):
                self._overdue(actor)
        elif now >= actor.next_probe:
            self._call(actor, "health", now, probing=True)

    def _start(self, actor: _Managed, now: float) -> None:
        if actor.spec.shared:
            try:
                actor.handle = self._port.find(actor.spec.name)
                actor.owned = False
            except ActorGone:
                actor.handle = None
        if actor.handle is None:
            try:
                actor.handle = self._port.create(actor.spec)
                actor.owned = True
            except NameTaken:
                # Another driver was faster, or the dead one's name is not free yet: look again soon.
                actor.not_before = now + RESTART_BACKOFF_S
                return
        actor.status = Status.STARTING
        self._call(actor, "start", now, probing=False)

    def _call(self, actor: _Managed, method: str, now: float, *, probing: bool) -> None:
        actor.pending = self._port.call(actor.handle, method)
        actor.pending_since = now
        actor.probing = probing

    def _take_answer(self, actor: _Managed, now: float) -> None:
        pending, actor.pending = actor.pending, None
        try:
            answer = self._port.answer(pending, timeout_s=0)
        except ActorGone as error:
            self._fault(actor, f"died: {error}")
            return
        except Exception as error:
            self._fault(
                actor, f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[-1]}"
            )
            return
        period = PROBE_PERIOD_S * random.uniform(1 - PROBE_JITTER, 1 + PROBE_JITTER)
        actor.next_probe = now + period
        actor.failed_probes = 0
        if not actor.probing:
            log.info("%s runs", actor.spec.name)
            actor.status = Status.RUNNING
            actor.running_since = now
            actor.next_probe = now
            return
        actor.health = answer
        if not answer["alive"]:
            self._fault(actor, answer["error"] or "its work has ended")
            return
        actor.error = answer["error"]
        actor.status = Status.DEGRADED if actor.error else Status.RUNNING
        if now - actor.running_since > STABLE_AFTER_S:
            actor.failures = 0

    def _overdue(self, actor: _Managed) -> None:
        actor.pending = None
        actor.failed_probes += 1
        if not actor.probing or actor.failed_probes >= PROBES_FAILED_LIMIT:
            self._fault(actor, f"gave no answer to {'health' if actor.probing else 'start'}")

    def _fault(self, actor: _Managed, error: str) -> None:
        log.warning("%s: %s; it will be replaced", actor.spec.name, error)
        if actor.handle is not None:
            self._kill(actor)
        delay = RESTART_BACKOFF_S * (2.0 ** min(actor.failures, 16) - 1)
        actor.not_before = self._now() + min(delay, RESTART_BACKOFF_CAP_S)
        actor.failures += 1
        actor.restarts += 1
        actor.status, actor.handle, actor.pending = Status.FAULTED, None, None
        actor.failed_probes, actor.error = 0, error

    def _kill(self, actor: _Managed) -> None:
        try:
            self._port.kill(actor.handle)
        except Exception:
            log.exception("killing %s", actor.spec.name)

    def all_running(self) -> bool:
        """Say whether every actor runs and nothing it does fails."""
        return all(actor.status is Status.RUNNING for actor in self._actors)

    def status(self) -> list[dict[str, Any]]:
        """Return one row an actor: name, status, restarts, error, and its last health answer."""
        return [
            {
                **(actor.health or {}),
                "name": actor.spec.name,
                "status": actor.status.value,
                "restarts": actor.restarts,
                "error": actor.error,
            }
            for actor in self._actors
        ]

    def stop(self, deadline_s: float = STOP_TIMEOUT_S) -> list[str]:
        """Stop everything in order of ``drain_rank``; return the names that had to be killed in their work.

        Consumers finish the batch in hand and commit. Those of one rank stop at the same time.
        Actors that another driver made are left to it.
        """
        unfinished: list[str] = []
        for rank in sorted({a.spec.drain_rank for a in self._actors}):
            of_rank = [
                a for a in self._actors if a.spec.drain_rank == rank and a.handle is not None and a.owned
            ]
            # An analyzer has nothing to finish: its state is soft.
            stopping = []
            for actor in of_rank:
                if hasattr(actor.spec.plain_class, "stop"):
                    try:
                        stopping.append((actor, self._port.call(actor.handle, "stop", deadline_s)))
                    except Exception as error:
                        log.warning("%s did not stop: %s", actor.spec.name, error)
                        unfinished.append(actor.spec.name)
            for actor, pending in stopping:
                try:
                    if not self._port.answer(pending, deadline_s + 5):
                        unfinished.append(actor.spec.name)
                except Exception as error:
                    log.warning("%s did not stop: %s", actor.spec.name, error)
                    unfinished.append(actor.spec.name)
            for actor in of_rank:
                self._kill(actor)
                actor.status, actor.handle, actor.pending = Status.STOPPED, None, None
        return unfinished
