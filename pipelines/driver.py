"""The driver: hands the pipelines to their supervisor, follows it, and has it stop in order."""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Any

from actors.ray_port import ActorGone, ActorSpec, RayPort
from actors.supervisor_actor import Planner, SupervisorActor
from pipelines.kernels import compile_everywhere
from pipelines.plan import overlapping, supervisor_name
from vnpulse.errors import RayUnavailable, UserError
from vnpulse.settings import Settings
from vnpulse.store.control import ControlStore

log = logging.getLogger("vnpulse.pipelines")

FOLLOW_PERIOD_S = 0.2
ANSWER_TIMEOUT_S = 30.0
"""For a supervisor that Ray restarts: its process, and the imports in it."""

EXIT_FAILURE = 1


class Driver:
    """One submission: has the supervisor that it wants, and says in its log what that one does."""

    def __init__(
        self,
        pipelines: tuple[str, ...],
        settings: Settings,
        version: str,
        control: ControlStore,
        port: RayPort,
        planner: Planner,
    ) -> None:
        self._pipelines = pipelines
        self._settings = settings
        self._version = version
        self._control = control
        self._name = supervisor_name(pipelines)
        self._owner = uuid.uuid4().hex
        self._former_owner = ""
        self._port = port
        self._planner = planner
        self._seen = 0

    def take_over(self) -> None:
        """See to it that a supervisor of this version runs.

        One of another version leaves its actors to the new one, which replaces them one by one.
        Raises UserError if another driver runs some of the pipelines.
        """
        others = overlapping(self._pipelines, self._port.names())
        if others:
            raise UserError(
                f"already running in Ray namespace {self._settings.ray.namespace}: {', '.join(others)};"
                " stop that driver first (vnpulse stop)"
            )
        self._former_owner = self._control.run(self._name, self._owner)
        try:
            if self._ask("version") == self._version:
                log.info("%s runs this version already; following it", self._name)
                self._seen = max((e.number for e in self._ask("progress", 0)["events"]), default=0)
                return
            compile_everywhere()
            log.info("%s of another version hands over", self._name)
            self._ask("retire")
            self._port.kill(self._port.find(self._name))
        except ActorGone:
            pass
        self._create()

    def _create(self) -> None:
        arguments = (self._name, self._version, self._settings, self._planner)
        placement = self._settings.placement.supervisor
        spec = ActorSpec(
            self._name,
            SupervisorActor,
            arguments,
            stage=0,
            drain_rank=0,
            num_cpus=placement.num_cpus,
            resources=placement.resources,
            node_labels=placement.node_labels,
        )
        self._port.create_when_free(spec, max_restarts=-1)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """Call the supervisor. Raises ActorGone when there is none."""
        handle = self._port.find(self._name)
        return self._port.answer(self._port.call(handle, method, *arguments), ANSWER_TIMEOUT_S)

    def follow(self, stopping: threading.Event) -> int:
        """Say what happens until everything has stopped; return the exit code."""
        announced = to_stop = asked = silent = False
        while True:
            if stopping.wait(FOLLOW_PERIOD_S):
                stopping.clear()
                if not to_stop:
                    log.info("told to stop")
                to_stop = True
            try:
                if to_stop and not asked:
                    self._ask("stop")
                    asked = True
                progress = self._ask("progress", self._seen)
                silent = False
            except RayUnavailable as error:
                if not silent:
                    log.warning("%s; what runs goes on", error)
                silent = True
                continue
            except (ActorGone, TimeoutError) as error:
                asked = to_stop
                if asked and isinstance(error, ActorGone):
                    log.warning("the supervisor died while stopping; vnpulse status shows what is left")
                    return EXIT_FAILURE
                if not silent:
                    log.warning("%s does not answer; Ray restarts it", self._name)
                silent, self._seen = True, 0
                continue
            for event in progress["events"]:
                log.log(event.level, event.text)
                self._seen = event.number
            # For a moment the supervisor may not have heard of us.
            if progress["owner"] not in (self._owner, self._former_owner, ""):
                log.info("another driver has taken over")
                return 0
            if progress["all_running"] and not announced:
                announced = True
                log.info("running: %s", ", ".join(progress["actors"]))
            if progress["finished"]:
                return self._end(progress["unfinished"])

    def _end(self, unfinished: list[str]) -> int:
        if unfinished:
            log.warning("did not finish in time, its last batch will come again: %s", ", ".join(unfinished))
        self._port.kill(self._port.find(self._name))
        return 0
