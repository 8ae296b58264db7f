"""The supervisor as an actor: it outlives the driver that made it, and Ray restarts it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from actors.gpu_watch import GpuWatch
from actors.pools import AnalyzerPools
from actors.ray_port import ActorSpec, RayPort
from actors.supervisor import Status, Supervisor
from actors.whereabouts import whereabouts
from vnpulse.errors import VnpulseError
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.control import ControlStore
from vnpulse.store.status import StatusStore

log = logging.getLogger(__name__)

STEP_PERIOD_S = 0.1
STATUS_PERIOD_S = 1.0
"""How often the status is written and what people want is read."""

TROUBLE_PAUSE_S = 1.0
STORE_PAUSE_S = 5.0
EVENTS_KEPT = 1_000

HEAD_TIMEOUT_S = 60.0
"""For Ray's head to say which GPUs there are, before anything is started."""

PREFIX = "supervisor/"


class Plan(NamedTuple):
    """What should run, and what runs for nobody (see Supervisor.reconcile)."""

    specs: list[ActorSpec]
    strays: list[ActorSpec]
    remarks: list[str]
    """What people should know of how it differs from the settings."""


class Planner(Protocol):
    """Knows what should run."""

    def plan(
        self, settings: Settings, running: list[str], gpus: Mapping[str, float], seats: Mapping[str, str]
    ) -> Plan:
        """Return what should run with ``settings``, given the names of all actors that do.

        ``gpus``: of each node that has some. ``seats``: see GpuWatch.
        """

    def most_shards(self, settings: Settings) -> dict[str, int] | None:
        """Return, by analyzer, how many shards there can be where there is a limit; None without any."""

    def shares_with(self, supervisor: str) -> bool:
        """Say whether another supervisor, by its name, uses the shared actors of this plan."""


class Event(NamedTuple):
    """One line for the driver's log. Numbers ascend by one; they begin anew with the actor's process."""

    number: int
    level: int
    text: str


class SupervisorActor:
    """Runs a Supervisor on a thread of its own.

    State is soft: which actors there should be comes from the settings and from the store's word of
    what people want, and those that run are found by name. Ray restarts this process with the same
    arguments after a crash or the loss of its node; the thread begins in the constructor, because
    nobody calls ``start`` then, and what it needs is connected to there, again and again if it must,
    because an exception in a constructor is not restarted.

    ``retire`` and ``stop`` may be called more than once.
    """

    def __init__(
        self,
        name: str,
        version: str,
        settings: Settings,
        planner: Planner,
    ) -> None:
        """``planner`` is asked again whenever the scale or the cluster's GPUs change."""
        self._name = name
        self._version = version
        self._owner = ""
        self._settings = settings
        self._planner = planner
        self._port = RayPort(settings.ray.namespace)
        self._stores: tuple[StatusStore, ControlStore] | None = None
        self._supervisor: Supervisor | None = None
        self._pools: AnalyzerPools | None = None
        self._scale: dict[str, int] = {}
        self._remarks: list[str] = []
        self._gpus: Mapping[str, float] = {}
        self._gpus_asked: Any = None
        self._gpu_watch = GpuWatch(self._port, time.monotonic)
        self._plan_is_due = False
        self._leaving = threading.Event()
        self._draining = False
        self._finished = False
        self._unfinished: list[str] = []
        self._error = ""
        self._slowest_step_s = 0.0
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._keep_events()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return self._name

    # Called by drivers

    def version(self) -> str:
        """Return what this supervisor was made from."""
        return self._version

    def progress(self, after: int) -> dict[str, Any]:
        """Return what happened after event number ``after``, and how things stand.

        ``owner`` is "" until the store has said whose this is.
        """
        supervisor = self._supervisor
        return {
            "events": [event for event in self._events if event.number > after],
            "owner": self._owner,
            "actors": supervisor.names() if supervisor is not None else [],
            "all_running": supervisor is not None and supervisor.all_running(),
            "finished": self._finished,
            "unfinished": self._unfinished,
        }

    def retire(self) -> bool:
        """Leave the actors as they are, for another supervisor to take over; True when that is so."""
        self._leaving.set()
        self._thread.join(TROUBLE_PAUSE_S * 10)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Have everything finish what is in hand and end; ``progress`` says when that is done."""
        self._draining = True

    # The thread

    def _run(self) -> None:
        due_s = 0.0
        while not self._leaving.is_set():
            try:
                if self._draining:
                    self._finish()
                    return
                if self._stores is None:
                    database = connect(self._settings.store)
                    self._stores = StatusStore(database), ControlStore(database)
                statuses, control = self._stores
                if self._supervisor is None:
                    self._begin(control)
                assert self._supervisor is not None
                began = time.perf_counter()
                self._supervisor.step()
                self._slowest_step_s = max(self._slowest_step_s, time.perf_counter() - began)
                if time.monotonic() >= due_s:
                    due_s = time.monotonic() + STATUS_PERIOD_S
                    self._report(statuses)
                    self._heed(control)
                    self._resize()
                    self._watch_gpus()
                    if self._plan_is_due:
                        self._reconcile(self._supervisor)
                self._error = ""
                self._leaving.wait(STEP_PERIOD_S)
            except Exception as error:
                # Nothing may end this loop: without it nobody looks after anything.
                text = f"{type(error).__name__}: {error}"
                if text != self._error:
                    log.warning("supervising is disturbed: %s", text, exc_info=not _expected(error))
                self._error = text
                # A store that is away makes each call wait: meanwhile the actors come first.
                due_s = time.monotonic() + STORE_PAUSE_S
                self._leaving.wait(TROUBLE_PAUSE_S)

    def _begin(self, control: ControlStore) -> None:
        desired = control.read(self._name)
        self._owner, self._scale = desired.owner, desired.scale
        most = self._planner.most_shards(self._settings)
        if most is not None:
            placement, running = self._settings.placement, self._port.names()
            self._pools = AnalyzerPools(
                self._port, control, placement, most, time.monotonic, self._scale, running
            )
        supervisor = Supervisor(self._port, [])
        self._gpus = self._port.answer(self._port.ask_gpus(), HEAD_TIMEOUT_S)
        self._gpu_watch.look(self._gpus, supervisor)
        self._reconcile(supervisor)
        self._supervisor = supervisor

    def _reconcile(self, supervisor: Supervisor) -> None:
        numbers = self._pools.numbers() if self._pools is not None else {}
        settings = self._settings.scaled(self._scale | numbers)
        seats = self._gpu_watch.seats(supervisor.status())
        plan = self._planner.plan(settings, self._port.names(), self._gpus, seats)
        for remark in plan.remarks:
            if remark not in self._remarks:
                log.warning("%s", remark)
        # What has not been so in between is not said again.
        self._remarks = plan.remarks
        supervisor.reconcile(plan.specs, plan.strays)
        self._plan_is_due = False

    def _resize(self) -> None:
        """Bring the analyzers to the number of shards that they should have."""
        assert self._supervisor is not None
        if self._pools is not None and self._pools.step(self._supervisor):
            self._plan_is_due = True

    def _watch_gpus(self) -> None:
        """See to it that who wants a GPU is placed anew when they come or go."""
        assert self._supervisor is not None
        if self._gpus_asked is not None:
            if not self._port.is_done(self._gpus_asked):
                return
            asked, self._gpus_asked = self._gpus_asked, None
            self._gpus = self._port.answer(asked, timeout_s=0)
            if self._gpu_watch.look(self._gpus, self._supervisor):
                self._plan_is_due = True
        self._gpus_asked = self._port.ask_gpus()

    def _heed(self, control: ControlStore) -> None:
        """Do what people asked for since the last time."""
        assert self._supervisor is not None
        desired = control.read(self._name)
        self._owner = desired.owner
        if desired.stopped:
            self._draining = True
        if desired.scale != self._scale:
            said = ", ".join(f"{name}={n}" for name, n in sorted(desired.scale.items()))
            log.info("scale: %s", said or "as the settings say")
            self._scale = desired.scale
            if self._pools is not None:
                self._pools.by_hand = desired.scale
            self._plan_is_due = True
        ours = set(desired.restart).intersection(self._supervisor.names())
        for name in ours:
            self._supervisor.restart(name)
        if ours:
            control.restarted(ours)

    def _report(self, statuses: StatusStore) -> None:
        assert self._supervisor is not None
        now_s = time.time()
        rows = self._supervisor.status()
        own = {
            "name": self._name,
            "pipeline": "supervisor",
            "status": (Status.DEGRADED if self._error else Status.RUNNING).value,
            "alive": True,
            "restarts": 0,
            "error": self._error,
            "version": self._version,
            "slowest_step_s": round(self._slowest_step_s, 3),
            "pools": self._pools.status() if self._pools is not None else [],
            **whereabouts(),
        }
        statuses.replace([{**row, "updated_s": now_s} for row in [own, *rows]], self._name)

    def _finish(self) -> None:
        log.info("stopping")
        if self._pools is not None:
            self._pools.close()
        self._gpu_watch.close()
        others = [n for n in self._port.names() if n.startswith(PREFIX) and n != self._name]
        sharers = [name for name in others if self._planner.shares_with(name)]
        try:
            if self._stores is not None:
                statuses, control = self._stores
                # Said before asked: of two that stop at the same time one at least sees that the other does.
                control.stop(self._name)
                sharers = [name for name in sharers if not control.read(name).stopped]
        except VnpulseError as error:
            log.warning("%s", error)
        if self._supervisor is not None:
            self._unfinished = self._supervisor.stop(spare_shared=bool(sharers))
        try:
            if self._stores is not None:
                statuses.replace([], self._name)
        except VnpulseError as error:
            log.warning("%s", error)
        log.info("stopped")
        self._finished = True

    def _keep_events(self) -> None:
        events = self._events

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                number = events[-1].number + 1 if events else 1
                events.append(Event(number, record.levelno, record.getMessage()))

        logger = logging.getLogger("actors")
        logger.setLevel(logging.INFO)
        logger.addHandler(Keep())


def _expected(error: Exception) -> bool:
    return isinstance(error, VnpulseError)
