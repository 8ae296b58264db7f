"""A Ray head with its dashboard as a child process, on the loopback interface only."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import vnpulse
from vnpulse.embedded.errors import ComponentFailed, EmbeddedStackError
from vnpulse.embedded.ports import LOOPBACK, PortBook
from vnpulse.embedded.process import ManagedProcess

READY_TIMEOUT_S = 120.0
"""6 s on a quiet machine; the first start after an install also compiles Ray's Python files."""

STOP_DEADLINE_S = 10.0
PROBE_TIMEOUT_S = 2.0
STARTED_WITHIN_LINES = 200
START_ATTEMPTS = 3
DEFAULT_NUM_CPUS = 8
"""Logical: actors that mostly wait may be more than the cores."""

DEFAULT_OBJECT_STORE_MB = 100
LONGEST_TEMP_DIR = 40
"""Characters. Ray adds about 60 for its unix sockets and the kernel allows 107 in all."""

# option of `ray start` -> name in the port book
_PORT_OPTIONS = {
    "--port": "ray-gcs",
    "--dashboard-port": "ray-dashboard",
    "--ray-client-server-port": "ray-client",
    "--object-manager-port": "ray-object-manager",
    "--node-manager-port": "ray-node-manager",
    "--dashboard-agent-listen-port": "ray-agent",
    "--dashboard-agent-grpc-port": "ray-agent-grpc",
    "--runtime-env-agent-port": "ray-runtime-env",
    "--metrics-export-port": "ray-metrics",
}

# environment variable -> name in the port book; at their fixed defaults two heads on one machine collide
_PORT_VARIABLES = {
    "AUTOSCALER_METRIC_PORT": "ray-autoscaler-metrics",
    "DASHBOARD_METRIC_PORT": "ray-dashboard-metrics",
}


@dataclass(frozen=True, kw_only=True)
class RayHeadConfig:
    """``folder`` holds the log; Ray's own files go to a short folder derived from it. ``num_gpus`` None
    lets Ray find the GPUs. ``lasting`` is for a head that has worker nodes: started again, it knows them
    and all detached actors, and a node that does not answer counts as dead after seconds."""

    folder: Path
    dashboard_port: int | None = None
    num_cpus: int = DEFAULT_NUM_CPUS
    num_gpus: float | None = None
    object_store_mb: int = DEFAULT_OBJECT_STORE_MB
    with_dashboard: bool = True
    lasting: bool = False


class RayHead:
    """One local head. No hard state: actors, jobs and the object store are lost with it, unless it is
    ``lasting``: then what the GCS knows is in ``folder/gcs`` until `stop`.

    `ray stop` is never used: it would end every Ray of the machine. What is stopped is what the guardian
    has below it.
    """

    name = "ray"

    def __init__(self, config: RayHeadConfig, ports: PortBook, *, hold_fds: Sequence[int] = ()) -> None:
        self.config = config
        self._ports = ports
        self._hold_fds = tuple(hold_fds)
        self._process: ManagedProcess | None = None
        self._chosen: dict[str, int] = {}
        self._claimed = False
        self.temp_dir = _short_temp_dir(config.folder)

    @property
    def address(self) -> str:
        """For ``ray.init(address=...)`` in processes of this machine; valid after `start`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def port(self) -> int:
        """Of the GCS; valid after `start`."""
        return self._chosen["--port"]

    @property
    def is_up(self) -> bool:
        """Whether nodes can join."""
        return self._process is not None and self._process.alive and has_started(self._process)

    @property
    def dashboard_url(self) -> str | None:
        """The dashboard, and the address for ``ray job submit``, if there is one; valid after `start`."""
        if not self.config.with_dashboard:
            return None
        return f"http://{LOOPBACK}:{self._chosen['--dashboard-port']}"

    @property
    def process(self) -> ManagedProcess | None:
        return self._process

    def start(
        self, on_progress: Callable[[str], None] = lambda _: None, cancel: threading.Event | None = None
    ) -> None:
        """Returns when the node runs and the dashboard shows it. Raises EmbeddedStackError.

        After a death a ``lasting`` head goes on with what its GCS knew.
        """
        comes_back = self.config.lasting and self._claimed
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                if not comes_back:
                    self._claim_folders()
                self._spawn()
                assert self._process is not None
                self._process.wait_until_ready(
                    lambda: self.is_up and self._is_shown(), READY_TIMEOUT_S, cancel
                )
                return
            except ComponentFailed as error:
                if self._process is not None:
                    self._process.stop(STOP_DEADLINE_S)
                if not worth_another_try(error) or attempt == START_ATTEMPTS:
                    raise
                if error.address_in_use:
                    self._ports.forget(*_PORT_OPTIONS.values(), *_PORT_VARIABLES.values())

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM, SIGKILL after the deadline, then removes Ray's temporary folder. Idempotent."""
        if self._process is None:
            return
        self._process.stop(deadline_s)
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        self._claimed = False

    def _is_shown(self) -> bool:
        return not self.config.with_dashboard or _node_is_alive(self._chosen["--dashboard-port"])

    def _spawn(self) -> None:
        launcher = Path(sys.executable).parent / "ray"
        if importlib.util.find_spec("ray") is None or not launcher.exists():
            raise EmbeddedStackError(f"ray needs {launcher}: install vnpulse into this environment again")
        self._chosen = {
            option: self._ports.port_for(
                name, self.config.dashboard_port if option == "--dashboard-port" else None
            )
            for option, name in _PORT_OPTIONS.items()
        }
        metric_ports = {variable: str(self._ports.port_for(n)) for variable, n in _PORT_VARIABLES.items()}
        command = [str(launcher), "start", "--head", "--block", "--disable-usage-stats"]
        command += [
            f"--node-ip-address={LOOPBACK}",
            f"--dashboard-host={LOOPBACK}",
            f"--include-dashboard={str(self.config.with_dashboard).lower()}",
        ]
        command += [f"{option}={port}" for option, port in self._chosen.items()]
        command += ["--min-worker-port=0", "--max-worker-port=0"]  # 0: the kernel chooses
        command += [f"--num-cpus={self.config.num_cpus}"]
        if self.config.num_gpus is not None:
            command += [f"--num-gpus={self.config.num_gpus:g}"]
        command += [f"--object-store-memory={self.config.object_store_mb * 1024 * 1024}"]
        command += [f"--temp-dir={self.temp_dir}", "--log-style=record", "--log-color=false"]
        lasting = _lasting(self._gcs_folder) if self.config.lasting else {}
        self._process = ManagedProcess(
            self.name,
            command,
            self.config.folder / "ray.log",
            env={**ray_environment(), **metric_ports, **lasting},
            cwd=self.config.folder,
            grace_s=STOP_DEADLINE_S,
            hold_fds=self._hold_fds,
        )
        self.config.folder.mkdir(parents=True, exist_ok=True)
        self._process.start()

    @property
    def _gcs_folder(self) -> Path:
        return self.config.folder / "gcs"

    def _claim_folders(self) -> None:
        """Empty folders of our own; what a killed run of the same state folder left is removed first."""
        shutil.rmtree(self.temp_dir, ignore_errors=True)
        shutil.rmtree(self._gcs_folder, ignore_errors=True)
        try:
            self.temp_dir.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise EmbeddedStackError(
                f"ray cannot use {self.temp_dir}: {error.strerror}: remove it"
            ) from error
        self._claimed = True


def _lasting(folder: Path) -> dict[str, str]:
    """What a GCS needs to keep its state, and to see in 3 s, not in 25 s, that a node is gone."""
    return {
        "RAY_gcs_storage": "rocksdb",
        "RAY_gcs_storage_path": str(folder),
        "RAY_health_check_initial_delay_ms": "0",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_timeout_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }


def has_started(node: ManagedProcess) -> bool:
    """Say whether ``ray start`` has its node's processes up and registered."""
    return any("Ray runtime started" in line for line in node.tail(STARTED_WITHIN_LINES))


def worth_another_try(error: ComponentFailed) -> bool:
    """Say whether a port was lost to somebody else, or the machine was too busy for the 30 s that Ray gives
    a node to come up."""
    return error.address_in_use or "timed out during startup" in str(error)


def ray_environment() -> dict[str, str | None]:
    """What the head, and every process that joins it, must have in its environment (None: must not)."""
    source = str(Path(vnpulse.__file__).resolve().parents[1])
    python_path = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    bin_folder = str(Path(sys.executable).parent)
    return {
        # Jobs run `python` from PATH: it must be this environment's.
        "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)]),
        # Workers import `actors`, `pipelines` and `vnpulse`.
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(python_path)),
        # Without it Ray rewrites 127.0.0.1 to the network's address and listens on every interface.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Without it a local start may write a token into the home folder and demand it from then on.
        "RAY_AUTH_MODE": "disabled",
        # SIGTERM means now: by default a head first waits up to 30 s for its node to become idle.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_ADDRESS": None,
        # Twenty processes that each compile Ray's Python files anew take 10 s longer to start.
        "PYTHONDONTWRITEBYTECODE": None,
    }


def _short_temp_dir(folder: Path) -> Path:
    """The same short folder for the same state folder, so that leftovers are found again."""
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    base = Path(tempfile.gettempdir())
    name = f"vnpulse-{os.getuid()}-{key}"
    path = base / name
    return path if len(str(path)) <= LONGEST_TEMP_DIR else Path("/tmp") / name


def _node_is_alive(dashboard_port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, dashboard_port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/nodes?view=summary")
        answer = connection.getresponse()
        if answer.status != 200:
            return False
        nodes = json.loads(answer.read())["data"]["summary"]
        return any(node["raylet"]["state"] == "ALIVE" for node in nodes)
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False
    finally:
        connection.close()
