"""``vnpulse up`` and ``vnpulse down``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Annotated

import typer

from vnpulse.cli.options import DEFAULT, ConfigOption, err, out
from vnpulse.deployment import require_embedded
from vnpulse.embedded.errors import StackChanging, StackNotRunning
from vnpulse.embedded.stack import read_addresses
from vnpulse.errors import VnpulseError
from vnpulse.launcher import Deployment, apply_topics
from vnpulse.settings import load_settings

WATCH_PERIOD_S = 0.5
DOWN_TIMEOUT_S = 120.0


def up(
    config: ConfigOption = DEFAULT,
    pipelines: Annotated[bool, typer.Option(help="Also run the pipelines.")] = True,
) -> None:
    """Start the stack and the pipelines, and keep them up until Ctrl-C or `vnpulse down`.

    With a configuration that names an existing cluster nothing is started there: the topics are
    applied and the pipelines run against it.
    """
    settings = load_settings(config)
    if settings.embedded is None:
        _, remarks = apply_topics(settings)
        for remark in remarks:
            err.print(f"topics: {remark}")
        if pipelines:
            # The driver takes this process's place: its log is ours, and signals reach it directly.
            os.execv(sys.executable, [sys.executable, "-m", "pipelines.run", "--config", str(config)])
        return
    interrupt_on_sigterm()
    with Deployment(settings, config, err.print) as deployment:
        deployment.start_stack()
        if pipelines:
            deployment.start_pipelines()
        stopping = stop_on_signals()
        resolved = deployment.settings
        out.print(f"Kafka      {', '.join(resolved.kafka.bootstrap_servers)}")
        assert resolved.store.uri is not None
        out.print(f"MongoDB    {_without_password(resolved.store.uri.get_secret_value())}")
        out.print(f"Ray        {resolved.ray.address}")
        out.print(f"Dashboard  {resolved.ray.dashboard_url}")
        out.print(f"State      {settings.embedded.state_dir}")
        out.print("Up. Stop with Ctrl-C, or `vnpulse down` from elsewhere.")
        log = deployment.log_path.open() if deployment.log_path else None
        if log:
            log.seek(0, os.SEEK_END)
        while not stopping.wait(WATCH_PERIOD_S):
            for line in log or ():
                out.print(line.rstrip("\n"), markup=False, soft_wrap=True)
            for line in deployment.heal():
                err.print(line, markup=False)


def interrupt_on_sigterm() -> None:
    """Make SIGTERM the same as Ctrl-C: while starting, both give up at once and undo what was started."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def stop_on_signals() -> threading.Event:
    """Return an event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def _without_password(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}://{'***@' if at and credentials else ''}{host}"


def down(config: ConfigOption = DEFAULT) -> None:
    """Stop the stack that `vnpulse up` started, and wait until it is gone."""
    embedded = require_embedded(load_settings(config))
    addresses = read_addresses(embedded.state_dir)
    os.kill(addresses.owner_pid, signal.SIGTERM)
    give_up_at = time.monotonic() + DOWN_TIMEOUT_S
    while time.monotonic() < give_up_at:
        try:
            read_addresses(embedded.state_dir)
        except StackChanging:
            pass
        except StackNotRunning:
            out.print("stopped")
            return
        time.sleep(WATCH_PERIOD_S)
    raise VnpulseError(f"process {addresses.owner_pid} is still stopping after {DOWN_TIMEOUT_S:.0f} s")
