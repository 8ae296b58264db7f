"""A second Ray node on this machine, beside the head: what only several nodes can show."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vnpulse.embedded.errors import ComponentFailed, StartCancelled
from vnpulse.embedded.ports import LOOPBACK, PortBook
from vnpulse.embedded.process import ManagedProcess
from vnpulse.embedded.ray_head import (
    DEFAULT_OBJECT_STORE_MB,
    READY_TIMEOUT_S,
    START_ATTEMPTS,
    RayHead,
    has_started,
    ray_environment,
    worth_another_try,
)

LAUNCH = """
import os, sys
from ray._private import services
from ray.scripts.scripts import main
services.node_ip_address_from_perspective = lambda *_: "127.0.0.1"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
sys.exit(main())
"""
"""`ray start`, for a node that keeps to the loopback interface. Ray joins nodes only if it may put the
machine's address in the place of 127.0.0.1, and then listens on every interface: here it may, and finds
127.0.0.1 to be that address. What it starts is told as all of ours is."""

STOP_DEADLINE_S = 2.0
"""Nothing of it is worth waiting for."""

HEAD_PERIOD_S = 0.1

# option of `ray start` -> name in the port book
_PORT_OPTIONS = {
    "--object-manager-port": "ray-worker-object-manager",
    "--node-manager-port": "ray-worker-node-manager",
    "--dashboard-agent-listen-port": "ray-worker-agent",
    "--dashboard-agent-grpc-port": "ray-worker-agent-grpc",
    "--runtime-env-agent-port": "ray-worker-runtime-env",
    "--metrics-export-port": "ray-worker-metrics",
}


@dataclass(frozen=True, kw_only=True)
class RayWorkerConfig:
    """``folder`` holds the log. ``gcs_port`` is that of a relay in front of the GCS: Ray starts no head at
    an address that a process of the same machine has joined, as this node's have when a head comes back."""

    folder: Path
    gcs_port: int
    num_cpus: int = 2
    """Logical; for each of them Ray starts a process in advance."""
    num_gpus: float = 0.0
    """Logical too."""
    object_store_mb: int = DEFAULT_OBJECT_STORE_MB


class RayWorker:
    """A node that joins ``head``. No hard state; its actors die with it.

    A ``lasting`` head may die and come back within a minute without this node or its actors noticing.
    """

    name = "ray-worker"

    def __init__(
        self, config: RayWorkerConfig, head: RayHead, ports: PortBook, *, hold_fds: Sequence[int] = ()
    ) -> None:
        self.config = config
        self._head = head
        self._ports = ports
        self._hold_fds = tuple(hold_fds)
        self._process: ManagedProcess | None = None

    @property
    def process(self) -> ManagedProcess | None:
        return self._process

    def start(
        self, on_progress: Callable[[str], None] = lambda _: None, cancel: threading.Event | None = None
    ) -> None:
        """Returns when the node has joined. Raises EmbeddedStackError."""
        self._await_head(cancel or threading.Event())
        for attempt in range(1, START_ATTEMPTS + 1):
            process = self._spawn()
            try:
                process.wait_until_ready(partial(has_started, process), READY_TIMEOUT_S, cancel)
                return
            except ComponentFailed as error:
                self.stop()
                if not worth_another_try(error) or attempt == START_ATTEMPTS:
                    raise
                if error.address_in_use:
                    self._ports.forget(*_PORT_OPTIONS.values())

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM, SIGKILL after the deadline. Idempotent."""
        if self._process is not None:
            self._process.stop(deadline_s)

    def _await_head(self, cancel: threading.Event) -> None:
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while not self._head.is_up:
            if time.monotonic() > give_up_at:
                raise ComponentFailed(self.name, f"found no head to join for {READY_TIMEOUT_S:.0f} s")
            if cancel.wait(HEAD_PERIOD_S):
                raise StartCancelled(f"the start of {self.name} was given up")

    def _spawn(self) -> ManagedProcess:
        config = self.config
        chosen = {option: self._ports.port_for(name) for option, name in _PORT_OPTIONS.items()}
        command = [sys.executable, "-c", LAUNCH, "start", "--block", "--disable-usage-stats"]
        command += [f"--address={LOOPBACK}:{config.gcs_port}", f"--node-ip-address={LOOPBACK}"]
        command += [f"{option}={port}" for option, port in chosen.items()]
        command += ["--min-worker-port=0", "--max-worker-port=0"]  # 0: the kernel chooses
        command += [f"--num-cpus={config.num_cpus}", f"--num-gpus={config.num_gpus:g}"]
        command += [f"--object-store-memory={config.object_store_mb * 1024 * 1024}"]
        command += ["--log-style=record", "--log-color=false"]
        config.folder.mkdir(parents=True, exist_ok=True)
        self._process = ManagedProcess(
            self.name,
            command,
            config.folder / "ray.log",
            env={**ray_environment(), "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": None},
            cwd=config.folder,
            grace_s=STOP_DEADLINE_S,
            hold_fds=self._hold_fds,
        )
        self._process.start()
        return self._process
