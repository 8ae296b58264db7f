"""The driver: connects to Ray, hands the pipelines to their supervisor, follows it, and stops it in order."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from pathlib import Path
from typing import Any, NoReturn

import ray

from actors.ray_port import ActorGone, ActorSpec, RayPort
from actors.supervisor_actor import SupervisorActor
from pipelines.kernels import compile_everywhere
from pipelines.logs import configure_logging
from pipelines.plan import WITH_ANALYZERS, PipelinePlanner, overlapping, supervisor_name
from pipelines.versions import supervisor_version
from pipelines.wiring import look_at, require_gpus
from vnpulse.deployment import resolve
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.errors import RayUnavailable, UserError, VnpulseError
from vnpulse.settings import DEFAULT_CONFIG, Settings, load_settings
from vnpulse.store.alerts import AlertStore
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.control import ControlStore
from vnpulse.store.news import NewsStore

log = logging.getLogger("vnpulse.pipelines")

LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

RAY_CONNECT_TIMEOUT_S = 10.0
FOLLOW_PERIOD_S = 0.2
ANSWER_TIMEOUT_S = 30.0
"""For a supervisor that Ray restarts: its process, and the imports in it."""

EXIT_FAILURE, EXIT_USAGE = 1, 2


def main(*pipelines: str) -> NoReturn:
    """Run ``pipelines`` until SIGTERM or SIGINT; exit 0 after a clean stop, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(description=f"Run the pipelines: {', '.join(pipelines)}")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="settings file (%(default)s)")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="(%(default)s)")
    arguments = parser.parse_args()
    configure_logging(arguments.log_format)
    try:
        settings = resolve(load_settings(arguments.config))
        if pipelines == ("collection",) and not settings.collection.enabled:
            raise UserError(
                f"{arguments.config}: collection.enabled is false; `vnpulse collect` collects without it"
            )
        _keep_to_loopback(settings)
        status = run(pipelines, settings)
    except UserError as error:
        print(error, file=sys.stderr)
        status = EXIT_USAGE
    except VnpulseError as error:
        print(error, file=sys.stderr)
        status = EXIT_FAILURE
    sys.exit(status)


def run(pipelines: tuple[str, ...], settings: Settings) -> int:
    """Run ``pipelines`` until told to stop; return the exit code. ``settings`` are resolved.

    The supervisor and its actors outlive this process: killed, it leaves them running, and the next
    one takes them over. Told to stop (SIGTERM, also from `ray job stop`, or Ctrl-C), it has them
    finish what is in hand and end.
    """
    cluster = look_at(settings)
    database = connect(settings.store)
    for store in (BarStore(database), NewsStore(database), AlertStore(database)):
        store.ensure_indexes()
    stopping = threading.Event()
    connect_to_ray(settings)
    # After ray.init, which sets handlers of its own.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if set(pipelines).intersection(WITH_ANALYZERS):
        port = RayPort(settings.ray.namespace)
        require_gpus(settings, port.answer(port.ask_gpus(), ANSWER_TIMEOUT_S))
    wanted = supervisor_version(settings, cluster.partitions)
    driver = _Driver(pipelines, settings, wanted, ControlStore(database))
    driver.take_over()
    try:
        return driver.follow(stopping)
    finally:
        ray.shutdown()


class _Driver:
    """One submission: has the supervisor that it wants, and says in its log what that one does."""

    def __init__(
        self, pipelines: tuple[str, ...], settings: Settings, wanted: str, control: ControlStore
    ) -> None:
        self._pipelines = pipelines
        self._settings = settings
        self._version = wanted
        self._control = control
        self._name = supervisor_name(pipelines)
        self._owner = uuid.uuid4().hex
        self._former_owner = ""
        self._port = RayPort(settings.ray.namespace)
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
        arguments = (self._name, self._version, self._settings, PipelinePlanner(self._pipelines))
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
                    log.info("stopping")
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
        log.info("stopped")
        return 0


def _keep_to_loopback(settings: Settings) -> None:
    """Start this process again with what a driver needs to join a cluster on loopback.

    Ray decides while it is imported whether 127.0.0.1 may stay or becomes the machine's address,
    where such a cluster does not listen.
    """
    host = (settings.ray.address or "").rpartition(":")[0]
    if (host == "localhost" or host.startswith("127.")) and LOOPBACK_VARIABLE not in os.environ:
        changed = ray_environment()
        kept = {name: value for name, value in os.environ.items() if name not in changed}
        given = {name: value for name, value in changed.items() if value is not None}
        os.execve(sys.executable, sys.orig_argv, kept | given)


def connect_to_ray(settings: Settings) -> None:
    """Join the cluster. Raises UserError if none answers at the address."""
    address = settings.ray.address
    assert address is not None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit():
            # Ray itself goes on trying for minutes, with warnings of its own.
            socket.create_connection((host, int(port)), RAY_CONNECT_TIMEOUT_S).close()
        ray.init(
            address=address,
            namespace=settings.ray.namespace,
            logging_level=logging.WARNING,
            log_to_driver=True,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"ray.address: no Ray cluster answers at {address}: {str(error).splitlines()[0]}"
        ) from None
