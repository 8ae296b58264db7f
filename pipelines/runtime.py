"""The driver: connects to Ray, keeps the actors of its pipelines running, and stops them in order."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import ray

from actors.ray_port import ActorSpec, NameTaken, RayPort
from actors.supervisor import Supervisor
from pipelines.wiring import fit_to_gpus, look_at
from vnpulse.deployment import resolve
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.errors import UserError, VnpulseError
from vnpulse.settings import DEFAULT_CONFIG, Settings, load_settings
from vnpulse.store.alerts import AlertStore
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.news import NewsStore
from vnpulse.store.status import StatusStore

log = logging.getLogger("vnpulse.pipelines")

PIPELINES = ("storage", "analysis", "aggregation", "notification")

LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

RAY_CONNECT_TIMEOUT_S = 10.0

STEP_PERIOD_S = 0.1
STATUS_PERIOD_S = 1.0

EXIT_FAILURE, EXIT_USAGE = 1, 2


def main(*pipelines: str) -> NoReturn:
    """Run ``pipelines`` until SIGTERM or SIGINT; exit 0 after a clean stop, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(description=f"Run the pipelines: {', '.join(pipelines)}")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="settings file (%(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka").setLevel(logging.WARNING)
    try:
        settings = resolve(load_settings(arguments.config))
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
    """Run ``pipelines`` until told to stop; return the exit code. ``settings`` are resolved."""
    cluster = look_at(settings)
    database = connect(settings.store)
    for store in (BarStore(database), NewsStore(database), AlertStore(database)):
        store.ensure_indexes()
    statuses = StatusStore(database)

    stopping = threading.Event()
    connect_to_ray(settings)
    # After ray.init, which sets handlers of its own. A SIGTERM (also from `ray job stop`) and
    # Ctrl-C both mean: finish what is in hand, commit, leave.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    # `python -m pipelines.storage` is __main__ here; the actors need the importable module.
    specs: dict[str, ActorSpec] = {}
    for name in pipelines:
        module = importlib.import_module(f"pipelines.{name}")
        specs |= {spec.name: spec for spec in module.actors(cluster)}
    fitted = fit_to_gpus(specs.values(), _gpus())
    supervisor = Supervisor(RayPort(settings.ray.namespace), fitted)
    try:
        supervisor.claim()
    except NameTaken as error:
        raise UserError(
            f"already running in Ray namespace {settings.ray.namespace}: {error}; stop that driver first"
        ) from None
    announced = False
    ticks = round(STATUS_PERIOD_S / STEP_PERIOD_S)
    tick = 0
    try:
        while not stopping.wait(STEP_PERIOD_S):
            supervisor.step()
            if tick % ticks == 0:
                _report(statuses, supervisor)
            tick += 1
            if not announced and supervisor.all_running():
                announced = True
                log.info("running: %s", ", ".join(specs))
    finally:
        log.info("stopping")
        unfinished = supervisor.stop()
        if unfinished:
            log.warning("did not finish in time, its last batch will come again: %s", ", ".join(unfinished))
        _forget(statuses, list(specs))
        ray.shutdown()
    log.info("stopped")
    return 0


def _gpus() -> float:
    """Return how many GPUs the cluster has."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("GPU", 0.0)


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


def _report(statuses: StatusStore, supervisor: Supervisor) -> None:
    now_s = time.time()
    try:
        statuses.write({**row, "updated_s": now_s} for row in supervisor.status())
    except VnpulseError as error:
        # Status is for people; its loss must not stop the supervising.
        log.warning("%s", error)


def _forget(statuses: StatusStore, names: list[str]) -> None:
    try:
        statuses.forget(names)
    except VnpulseError as error:
        log.warning("%s", error)
