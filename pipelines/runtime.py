"""Starts a driver: settings, brokers and stores that answer, the cluster of Ray, and the signals to stop."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import NoReturn

import ray

from actors.ray_port import RayPort
from actors.supervisor_actor import Planner
from pipelines.driver import ANSWER_TIMEOUT_S, EXIT_FAILURE, Driver
from pipelines.logs import configure_logging
from pipelines.plan import WITH_ANALYZERS, PipelinePlanner
from pipelines.versions import supervisor_version
from pipelines.wiring import look_at, require_gpus
from vnpulse.deployment import resolve
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.errors import UserError, VnpulseError
from vnpulse.settings import DEFAULT_CONFIG, Settings, load_settings
from vnpulse.store.alerts import AlertStore
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.control import ControlStore
from vnpulse.store.news import NewsStore

LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

RAY_CONNECT_TIMEOUT_S = 10.0
EXIT_USAGE = 2


def main(*pipelines: str, plan_by: type[PipelinePlanner] = PipelinePlanner) -> NoReturn:
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
        status = run(pipelines, settings, plan_by(pipelines))
    except UserError as error:
        print(error, file=sys.stderr)
        status = EXIT_USAGE
    except VnpulseError as error:
        print(error, file=sys.stderr)
        status = EXIT_FAILURE
    sys.exit(status)


def run(pipelines: tuple[str, ...], settings: Settings, planner: Planner) -> int:
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
    port = RayPort(settings.ray.namespace)
    if set(pipelines).intersection(WITH_ANALYZERS):
        require_gpus(settings, port.answer(port.ask_gpus(), ANSWER_TIMEOUT_S))
    wanted = supervisor_version(settings, cluster.partitions)
    driver = Driver(pipelines, settings, wanted, ControlStore(database), port, planner)
    driver.take_over()
    try:
        return driver.follow(stopping)
    finally:
        ray.shutdown()


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
