"""The machine that people sit at: their copy of cluster.yaml, the commands they type, and what they see."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.cluster.hosts import HOME, Host
from tests.integration.trial import ROOT
from tests.integration.waiting import eventually
from vnpulse.embedded.process import ManagedProcess

BIN = Path(sys.executable).parent
COMMAND_TIMEOUT_S = 240.0
UP_ATTEMPTS = 3
DASHBOARD = "http://127.0.0.1:8265"


class Running(NamedTuple):
    """A living actor: the address of its node, and its process there."""

    node: str
    pid: int


class Desk:
    """Works with ``cluster.yaml`` of the repository, in which only addresses and the ssh key are changed."""

    def __init__(self, folder: Path, head: Host, workers: Sequence[Host], file: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.file = folder / file.name
        document = yaml.safe_load(file.read_text())
        document["provider"] |= {"head_ip": head.address, "worker_ips": [w.address for w in workers]}
        document["auth"] = {"ssh_user": "root", "ssh_private_key": str(head.key)}
        document["min_workers"] = document["max_workers"] = len(workers)
        self.file.write_text(yaml.safe_dump(document))
        self._tunnel: ManagedProcess | None = None

    def environment(self, *, token: bool = True) -> dict[str, str]:
        """Return what the commands are run with; without ``token``, what a stranger has."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        return {
            **kept,
            "HOME": str(self.home if token else self.folder),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "RAY_UP_enable_autoscaler_v2": "0",
            "RAY_AUTH_MODE": "token" if token else "disabled",
        }

    def ray(
        self, *words: str | Path, token: bool = True, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ray WORDS`` in the repository; output and errors are one text."""
        done = subprocess.run(
            [str(BIN / "ray"), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            env=self.environment(token=token),
            cwd=ROOT,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def up(self) -> None:
        """Make the token and bring the cluster up: returns when its head is."""
        self.ray("get-auth-token", "--generate")
        # Ray gives a head up whose agent takes more than 15 s to start: then a person tries again.
        said: list[str] = []
        for _ in range(UP_ATTEMPTS):
            done = self.ray("up", "--yes", self.file, check=False)
            if done.returncode == 0:
                return
            said.append(done.stdout)
        raise AssertionError("\n".join(said))

    def python(self, code: str, *, check: bool = True) -> str:
        """Run Python code on the head, as a person there would; return what it prints."""
        script = self.folder / "script.py"
        script.write_text(code)
        self.ray("rsync-up", self.file, script, "~/script.py")
        return self.ray("exec", self.file, "python ~/script.py", check=check).stdout

    def submit(self, job: str, folder: Path, settings: Path) -> None:
        """Submit the pipelines with the code in ``folder`` and ``settings``, under the name ``job``."""
        self.ray("rsync-up", self.file, settings, f"~/{settings.name}")
        self.ray(
            "job", "submit", "--address", DASHBOARD, "--submission-id", job, "--no-wait",
            "--working-dir", folder, "--", "python", "-m", "pipelines.run", "--config",
            f"{HOME}/{settings.name}",
        )  # fmt: skip

    def job_status(self, job: str) -> str:
        """Return RUNNING, SUCCEEDED, STOPPED or FAILED, as Ray has it."""
        status: str = self.get(f"/api/jobs/{job}")["status"]
        return status

    def job_log(self, job: str) -> str:
        """Return what the job's driver has printed so far."""
        return self.ray("job", "logs", "--address", DASHBOARD, job, check=False).stdout

    def open_dashboard(self) -> None:
        """Leave ``ray dashboard`` running: the dashboard's port through ssh."""
        self._tunnel = ManagedProcess(
            "ray dashboard",
            [str(BIN / "ray"), "dashboard", str(self.file)],
            self.folder / "dashboard.log",
            env=dict(self.environment()),
        )
        self._tunnel.start()
        assert eventually(self._shows_nodes), "\n".join(self._tunnel.tail(20))

    def _shows_nodes(self) -> bool:
        """Say whether there is a dashboard at the tunnel's other end, which stands before it does."""
        try:
            return bool(self.nodes())
        except (OSError, KeyError, ValueError):
            return False

    def close(self) -> None:
        """Close the tunnel."""
        if self._tunnel is not None:
            self._tunnel.stop()

    def get(self, path: str, *, token: bool = True) -> Any:
        """Return what the dashboard's interface answers. Raises HTTPError."""
        request = urllib.request.Request(f"{DASHBOARD}{path}")
        if token:
            secret = (self.home / ".ray" / "auth_token").read_text().strip()
            request.add_header("Authorization", f"Bearer {secret}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the living nodes by address."""
        rows = self.get("/api/v0/nodes?detail=true")["data"]["result"]["result"]
        return {row["node_ip"]: row for row in rows if row["state"] == "ALIVE"}

    def actors(self) -> dict[str, Running]:
        """Return where each of our living actors is, by name."""
        by_id = {row["node_id"]: address for address, row in self.nodes().items()}
        rows = self.get("/api/v0/actors?limit=10000&detail=true")["data"]["result"]["result"]
        return {
            row["name"]: Running(by_id[row["node_id"]], row["pid"])
            for row in rows
            if row["state"] == "ALIVE" and "/" in (row["name"] or "") and row["node_id"] in by_id
        }

    def endpoints(self) -> list[str]:
        """Return where the nodes show their metrics, as Prometheus learns it from the dashboard."""
        return [target for group in self.get("/api/prometheus/sd") for target in group["targets"]]


def _answers(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), 1.0).close()
    except OSError:
        return False
    return True


def reachable(address: str, port: int) -> bool:
    """Say whether something listens there."""
    return _answers(port, address)
