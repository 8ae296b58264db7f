"""The supervisor: what should run, does; what died or hangs is replaced; stopping is in order."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from actors.ray_port import ActorGone, ActorPort, ActorSpec, NameTaken
from vnpulse.errors import RayUnavailable, VnpulseError

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

CRASH_LOOP_LIMIT = 10
"""So many failures without a stable stretch between them, two to three minutes of backing off, and it
is left as it is for a person to look at. An outage that will pass by itself is not counted."""

STOP_TIMEOUT_S = 30.0

PLACE_PERIOD_S = 60.0
"""An actor without an answer after so long may have no node: looked up as often. Ray names the node when the
process is up there, and that may take half a minute where many start."""


class Status(Enum):
    """Where an actor stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    """Its process was made, or found running after the supervisor's own restart, and has not answered yet;
    or no node has room for it."""
    RUNNING = "running"
    DEGRADED = "degraded"
    """Answers, but says that its work fails (the store is away, say); or has not answered a probe, and will
    be replaced if it does not answer PROBES_FAILED_LIMIT of them."""
    DRAINING = "draining"
    """Finishes its batch and commits, to be replaced by another version or to go."""
    FAULTED = "faulted"
    """Dead or not answering; waiting for its next start, or given up after CRASH_LOOP_LIMIT failures."""


_ANSWERING = (Status.RUNNING, Status.DEGRADED)

# What the outstanding call to an actor is for.
_START, _PROBE, _ATTACH, _DRAIN = "start", "health", "attach", "stop"

_TIMEOUT_S = {
    _START: START_TIMEOUT_S,
    _PROBE: PROBE_TIMEOUT_S,
    _ATTACH: PROBE_TIMEOUT_S,
    _DRAIN: STOP_TIMEOUT_S + 5,
}


@dataclass
class _Managed:
    """What the supervisor knows of one actor."""

    spec: ActorSpec
    wanted: bool = True
    status: Status = Status.STOPPED
    handle: Any = None
    pending: Any = None
    pending_since: float = 0.0
    purpose: str = _START
    next_probe: float = 0.0
    failed_probes: int = 0
    restarts: int = 0
    attempts: int = 0
    """Failures of any kind since it last ran for long; the pause before the next start grows with them."""
    failures: int = 0
    """Those of them that will not pass by themselves."""
    gave_up: bool = False
    not_before: float = 0.0
    running_since: float = 0.0
    outdated: bool = False
    on_gpu: bool | None = None
    """Whether it was made to be on a GPU; None if another has made it, until it has said so."""
    misplaced: bool = False
    """Whether it is on a GPU and should not be, or the reverse."""
    has_node: bool = True
    waits_for_node: bool = False
    looking: Any = None
    """The outstanding question whether it has a node."""
    health: dict[str, Any] | None = None
    error: str = ""

    @property
    def to_replace(self) -> bool:
        """Whether another is wanted in its place."""
        return self.outdated or self.misplaced


class Supervisor:
    """Reconciles the actors of ``specs`` with what runs. A plain state machine: ``step`` moves it.

    It holds no hard state: which actors there are comes from the configuration, what they have
    done from Kafka and the store. A new supervisor therefore takes over what runs, by name: an
    actor of the version that is wanted is left in peace, one of another version is drained and
    replaced, one at a time, and one that nobody wants any more is drained before those take its
    place. At most one call to each actor is outstanding, and no step waits for one, so an actor
    that hangs delays nobody else. What does make a step wait is Ray's head, when it is silent just as an
    actor is to be started: nobody could be replaced in that time anyway, and who runs is probed meanwhile
    between one attempt and the next.

    Who is on a GPU and should not be, or the reverse, is replaced in the same way, or if it has not come to
    run, as one that waits for a GPU which is lost, at once.

    An actor of a later stage is started when all of the earlier stages run once, or wait for a node that
    has room for them, which may take as long as it takes; after that each is replaced by itself.
    """

    def __init__(
        self, port: ActorPort, specs: Sequence[ActorSpec], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._port = port
        self._now = now
        self._actors = [_Managed(spec) for spec in sorted(specs, key=lambda s: s.stage)]

    def reconcile(self, specs: Sequence[ActorSpec], strays: Iterable[ActorSpec] = ()) -> None:
        """Want ``specs`` from now on. What ran for others, and ``strays``, is drained first.

        ``strays`` are actors that some earlier supervisor made; those that are wanted or do not
        run are passed over.
        """
        known = {actor.spec.name: actor for actor in self._actors}
        wanted = {spec.name for spec in specs}
        actors: list[_Managed] = []
        for spec in specs:
            actor = known.pop(spec.name, None) or _Managed(spec)
            actor.outdated = actor.outdated or actor.spec.version != spec.version
            actor.misplaced = actor.on_gpu is not None and actor.on_gpu != (spec.num_gpus > 0)
            actor.spec, actor.wanted = spec, True
            actors.append(actor)
        for spec in strays:
            if spec.name not in wanted:
                known.setdefault(spec.name, _Managed(spec))
        for actor in known.values():
            actor.wanted = False
            actors.append(actor)
        self._actors = sorted(actors, key=lambda a: a.spec.stage)

    def step(self) -> None:
        """Move every actor on by what can be done without waiting."""
        leaving = [actor for actor in self._actors if not actor.wanted]
        for actor in leaving:
            self._guarded(actor, self._step_leaving)
        self._actors = [a for a in self._actors if a.wanted or a.status is not Status.STOPPED]
        # New actors may read the partitions of those that leave.
        held_ranks = {actor.spec.drain_rank for actor in self._actors if not actor.wanted}
        stages = sorted({a.spec.stage for a in self._actors if a.wanted})
        waits = False
        for stage in stages:
            of_stage = [a for a in self._actors if a.wanted and a.spec.stage == stage]
            for actor in of_stage:
                # One that has run before is looked after whatever becomes of new ones of earlier stages.
                new = actor.handle is None and actor.running_since == 0
                if not new or not (waits or actor.spec.drain_rank in held_ranks):
                    self._guarded(actor, self._step_one)
            waits = waits or any(
                actor.running_since == 0 and not (actor.gave_up or actor.waits_for_node) for actor in of_stage
            )

    def _guarded(self, actor: _Managed, move: Callable[[_Managed], None]) -> None:
        try:
            move(actor)
        except Exception as error:
            # Whatever goes wrong with one actor must not stop the others being looked after.
            log.exception("supervising %s", actor.spec.name)
            self._fault(actor, error)

    def _step_one(self, actor: _Managed) -> None:
        now = self._now()
        if actor.gave_up:
            return
        if actor.status in (Status.STOPPED, Status.FAULTED):
            if now >= actor.not_before:
                self._start(actor, now)
        elif actor.pending is not None:
            if self._port.is_done(actor.pending):
                self._take_answer(actor, now)
            elif actor.misplaced and (actor.purpose == _START or actor.waits_for_node):
                self._end(actor)  # It has not come to run, and has nothing to finish.
            elif not actor.has_node and now >= actor.next_probe:
                self._look_for_node(actor, now)
            elif not actor.waits_for_node and now - actor.pending_since > _TIMEOUT_S[actor.purpose]:
                self._overdue(actor)
        elif actor.to_replace and all(a.status in _ANSWERING for a in self._actors):
            # One at a time, and none while another is not back: a version that does not run stops here.
            self._drain(actor, now)
        elif now >= actor.next_probe:
            self._call(actor, _PROBE, now)

    def _step_leaving(self, actor: _Managed) -> None:
        """Drain an actor that is not wanted; at its end its status is STOPPED."""
        now = self._now()
        if actor.status is Status.DRAINING:
            if self._port.is_done(actor.pending) or now - actor.pending_since > _TIMEOUT_S[_DRAIN]:
                self._end(actor)
            return
        if actor.handle is None:
            try:
                actor.handle = self._port.find(actor.spec.name)
            except ActorGone:
                actor.status = Status.STOPPED
                return
        if actor.waits_for_node:
            self._end(actor)
            return
        self._drain(actor, now)

    def _drain(self, actor: _Managed, now: float) -> None:
        replaced = (
            f"replaced on a {'GPU' if actor.spec.num_gpus else 'CPU'}" if actor.misplaced else "replaced"
        )
        log.info("%s finishes its work, to be %s", actor.spec.name, replaced if actor.wanted else "gone")
        actor.status = Status.DRAINING
        self._call(actor, _DRAIN, now, STOP_TIMEOUT_S)

    def _end(self, actor: _Managed) -> None:
        """Kill what was drained, or did not come to an end."""
        self._kill(actor)
        actor.status, actor.handle, actor.pending, actor.outdated = Status.STOPPED, None, None, False
        actor.waits_for_node = False

    def _start(self, actor: _Managed, now: float) -> None:
        actor.status = Status.STARTING
        actor.failed_probes = 0
        actor.has_node, actor.looking, actor.next_probe = False, None, now + PLACE_PERIOD_S
        actor.on_gpu, actor.misplaced, actor.health = None, False, None
        try:
            actor.handle = self._port.find(actor.spec.name)
        except ActorGone:
            try:
                actor.handle = self._port.create(actor.spec)
            except NameTaken:
                # Somebody was faster, or the dead one's name is not free yet: look again soon.
                actor.status, actor.not_before = Status.STOPPED, now + RESTART_BACKOFF_S
                return
            actor.outdated, actor.on_gpu = False, actor.spec.num_gpus > 0
            self._call(actor, _START, now)
            return
        # Before it is taken for dead: it may be waiting for a node, and another supervisor with it.
        actor.next_probe = now + PROBES_FAILED_LIMIT * PROBE_TIMEOUT_S
        self._call(actor, _ATTACH, now)

    def _look_for_node(self, actor: _Managed, now: float) -> None:
        """Find out whether a new actor has a node; the time that it has for its start runs from then on."""
        if actor.looking is None:
            actor.looking = self._port.ask_node(actor.handle)
        if not self._port.is_done(actor.looking):
            return
        looking, actor.looking = actor.looking, None
        actor.next_probe = now + PLACE_PERIOD_S
        actor.has_node, actor.on_gpu = self._port.answer(looking, timeout_s=0)
        if actor.has_node:
            if actor.waits_for_node:
                actor.waits_for_node, actor.error = False, ""
            return
        # An earlier supervisor may have made it, for GPUs that are there no more.
        actor.misplaced = actor.on_gpu != (actor.spec.num_gpus > 0)
        actor.pending_since, actor.failed_probes = now, 0
        actor.error = f"waits for a node with {actor.spec.needs} to spare"
        if not actor.waits_for_node:
            actor.waits_for_node = True
            log.warning("%s %s", actor.spec.name, actor.error)

    def _call(self, actor: _Managed, purpose: str, now: float, *arguments: Any) -> None:
        method = _PROBE if purpose == _ATTACH else purpose
        actor.purpose, actor.pending_since = purpose, now
        actor.pending = self._port.call(actor.handle, method, *arguments)

    def _take_answer(self, actor: _Managed, now: float) -> None:
        pending, actor.pending = actor.pending, None
        if actor.purpose == _DRAIN:
            self._end(actor)
            return
        try:
            answer = self._port.answer(pending, timeout_s=0)
        except Exception as error:
            if actor.purpose == _ATTACH and isinstance(error, ActorGone):
                # It was dead; its name had outlived it.
                actor.status, actor.handle = Status.STOPPED, None
                actor.not_before = now + RESTART_BACKOFF_S
            else:
                self._fault(actor, error)
            return
        period = PROBE_PERIOD_S * random.uniform(1 - PROBE_JITTER, 1 + PROBE_JITTER)
        actor.next_probe = now + period
        actor.failed_probes = 0
        if actor.purpose == _START:
            self._runs(actor, now)
            actor.next_probe = now
            return
        if actor.purpose == _ATTACH:
            actor.outdated = not actor.spec.shared and answer.get("version", "") != actor.spec.version
            actor.on_gpu = bool(answer.get("gpus"))
            if not answer["alive"]:
                # Made, and never started or ended since; calling start is harmless either way.
                self._call(actor, _START, now)
                return
            self._runs(actor, now)
        actor.health = answer
        if not answer["alive"]:
            self._fault(actor, answer["error"] or "its work has ended")
            return
        actor.error = answer["error"]
        actor.status = Status.DEGRADED if actor.error else Status.RUNNING
        if now - actor.running_since > STABLE_AFTER_S:
            actor.attempts = actor.failures = 0

    def _runs(self, actor: _Managed, now: float) -> None:
        log.info("%s runs", actor.spec.name)
        actor.status = Status.RUNNING
        actor.has_node, actor.waits_for_node = True, False
        actor.running_since = now

    def _overdue(self, actor: _Managed) -> None:
        actor.pending = None
        actor.failed_probes += 1
        if actor.purpose == _DRAIN:
            self._end(actor)
        elif actor.purpose == _START or actor.failed_probes >= PROBES_FAILED_LIMIT:
            self._fault(actor, f"gave no answer to {actor.purpose}")
        elif actor.purpose == _ATTACH:
            self._call(actor, _ATTACH, self._now())
        else:
            actor.status = Status.DEGRADED
            actor.error = f"gave no answer to {actor.purpose} for {_TIMEOUT_S[_PROBE]:.0f} s"
            log.warning("%s %s", actor.spec.name, actor.error)

    def _fault(self, actor: _Managed, error: Exception | str) -> None:
        if actor.handle is not None:
            self._kill(actor)
        delay = RESTART_BACKOFF_S * (2.0 ** min(actor.attempts, 16) - 1)
        actor.not_before = self._now() + min(delay, RESTART_BACKOFF_CAP_S)
        actor.attempts += 1
        actor.restarts += 1
        if not (isinstance(error, VnpulseError) and error.retriable):
            actor.failures += 1
        actor.gave_up = actor.failures >= CRASH_LOOP_LIMIT
        actor.status, actor.handle, actor.pending = Status.FAULTED, None, None
        actor.waits_for_node = False
        actor.failed_probes, actor.error = 0, _one_line(error)
        if actor.gave_up:
            log.error(
                "%s: %s; it failed %d times in a row and is left alone: see to it, then vnpulse restart %s",
                actor.spec.name,
                actor.error,
                actor.failures,
                actor.spec.name,
            )
        else:
            log.warning("%s: %s; it will be replaced", actor.spec.name, actor.error)

    def _kill(self, actor: _Managed) -> None:
        try:
            self._port.kill(actor.handle)
        except RayUnavailable as error:
            # Where it lives on it is found by its name, and asked again.
            log.warning("%s is not killed: %s", actor.spec.name, error)
        except Exception:
            log.exception("killing %s", actor.spec.name)

    def restart(self, name: str) -> None:
        """Start anew an actor that was given up; one that runs is drained and replaced."""
        for actor in self._actors:
            if actor.spec.name == name:
                actor.gave_up, actor.attempts, actor.failures, actor.not_before = False, 0, 0, 0.0
                actor.outdated = actor.handle is not None

    def names(self) -> list[str]:
        """Return the names of the actors that are wanted."""
        return [actor.spec.name for actor in self._actors if actor.wanted]

    def handle(self, name: str) -> Any:
        """Return the handle of an actor that runs. Raises ActorGone."""
        for actor in self._actors:
            if actor.spec.name == name and actor.handle is not None:
                return actor.handle
        raise ActorGone(name)

    def spec(self, name: str) -> ActorSpec:
        """Return what an actor that is wanted is made from. Raises KeyError."""
        return {actor.spec.name: actor.spec for actor in self._actors}[name]

    def all_running(self) -> bool:
        """Say whether every actor runs, of the version that is wanted, and nothing it does fails."""
        return all(a.status is Status.RUNNING and a.wanted and not a.to_replace for a in self._actors)

    def status(self) -> list[dict[str, Any]]:
        """Return one row an actor: name, status, restarts, error, and its last health answer."""
        return [
            {
                **(actor.health or {}),
                "name": actor.spec.name,
                "status": actor.status.value,
                "gave_up": actor.gave_up,
                "waits_for_node": actor.waits_for_node,
                "num_gpus": actor.spec.num_gpus,
                "on_gpu": bool(actor.on_gpu),
                "restarts": actor.restarts,
                "error": actor.error,
            }
            for actor in self._actors
        ]

    def stop(self, deadline_s: float = STOP_TIMEOUT_S, *, spare_shared: bool = False) -> list[str]:
        """Stop everything in order of ``drain_rank``; return the names that had to be killed in their work.

        Consumers finish the batch in hand and commit. Those of one rank stop at the same time.
        ``spare_shared`` leaves actors that others use to them.
        """
        unfinished: list[str] = []
        for rank in sorted({a.spec.drain_rank for a in self._actors}):
            of_rank = [
                a
                for a in self._actors
                if a.spec.drain_rank == rank and a.handle is not None and not (spare_shared and a.spec.shared)
            ]
            stopping = []
            for actor in of_rank:
                if actor.waits_for_node:
                    continue
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
                self._end(actor)
        return unfinished


def _one_line(error: Exception | str) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, ActorGone):
        return f"died: {error}"
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[-1]}"
