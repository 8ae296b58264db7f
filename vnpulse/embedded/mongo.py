"""SecantusDB as a child process: a store that speaks MongoDB's wire protocol. Never imported (GPL)."""

from __future__ import annotations

import importlib.util
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vnpulse.embedded.errors import ComponentFailed, EmbeddedStackError
from vnpulse.embedded.ports import LOOPBACK, PortBook
from vnpulse.embedded.process import ManagedProcess

READY_TIMEOUT_S = 60.0
"""It replays its journal before it listens; after a kill under load that takes longer than the usual 1 s."""

STOP_DEADLINE_S = 20.0
PROBE_TIMEOUT_S = 1.0
PORT_ATTEMPTS = 2
DEFAULT_CACHE_MB = 256


@dataclass(frozen=True, kw_only=True)
class MongoConfig:
    """``folder`` holds data, configuration and log; ``cache_mb`` is the storage engine's.

    ``client_port`` is what clients are told in place of ``port``: of a relay in front of the server.
    """

    folder: Path
    port: int | None = None
    client_port: int | None = None
    cache_mb: int = DEFAULT_CACHE_MB


class MongoServer:
    """One server on one data folder; never start two on the same folder.

    Hard state: ``folder/data``. Writes made with the URI's ``journal=true`` survive a kill.
    """

    name = "mongo"

    def __init__(self, config: MongoConfig, ports: PortBook, *, hold_fds: Sequence[int] = ()) -> None:
        self.config = config
        self._ports = ports
        self._hold_fds = tuple(hold_fds)
        self._process: ManagedProcess | None = None
        self.port = 0

    @property
    def uri(self) -> str:
        """Valid after `start`. Without ``journal=true`` a kill loses acknowledged documents."""
        port = self.config.client_port or self.port
        return f"mongodb://{LOOPBACK}:{port}/?directConnection=true&w=majority&journal=true"

    @property
    def process(self) -> ManagedProcess | None:
        return self._process

    def start(
        self, on_progress: Callable[[str], None] = lambda _: None, cancel: threading.Event | None = None
    ) -> None:
        """Returns when the server answers ``hello`` as a writable primary. Raises EmbeddedStackError."""
        if importlib.util.find_spec("secantus") is None:
            raise EmbeddedStackError(
                "mongo needs the package secantusdb: install vnpulse with its 'embedded' extra, "
                "or set MONGODB_URI to a running server"
            )
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._spawn()
                assert self._process is not None
                self._process.wait_until_ready(lambda: _says_hello(self.port), READY_TIMEOUT_S, cancel)
                return
            except ComponentFailed as error:
                self.stop()
                if not error.address_in_use or attempt == PORT_ATTEMPTS:
                    raise
                self._ports.forget(self.name)

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Clean shutdown (SIGTERM), SIGKILL after the deadline. Idempotent."""
        if self._process is not None:
            self._process.stop(deadline_s)

    def _spawn(self) -> None:
        folder = self.config.folder
        self.port = self._ports.port_for(self.name, self.config.port)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        # Without --config it would pick up a file from the working directory or the home folder.
        no_settings = folder / "secantusd.toml"
        no_settings.write_text("")
        command = [sys.executable, "-m", "secantus", "--config", str(no_settings)]
        command += ["--host", LOOPBACK, "--port", str(self.port), "--storage-path", str(folder / "data")]
        command += ["--cache-size", f"{self.config.cache_mb}M", "--log-level", "WARNING"]
        self._process = ManagedProcess(
            self.name,
            command,
            folder / "mongo.log",
            env={"PYTHONDONTWRITEBYTECODE": None},  # compiled files halve its start
            cwd=folder,
            grace_s=STOP_DEADLINE_S,
            hold_fds=self._hold_fds,
        )
        self._process.start()


def _says_hello(port: int) -> bool:
    """Whether the server answers OP_MSG ``{hello: 1}`` with ``isWritablePrimary: true``.

    Spoken by hand because pymongo lives in `vnpulse.store` only.
    """
    fields = b"\x10hello\0" + struct.pack("<i", 1) + b"\x02$db\0" + struct.pack("<i", 6) + b"admin\0"
    document = struct.pack("<i", 4 + len(fields) + 1) + fields + b"\0"
    body = struct.pack("<i", 0) + b"\0" + document  # no flags, section kind 0
    message = struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body
    try:
        with socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(message)
            answer = b""
            while len(answer) < 4 or len(answer) < struct.unpack_from("<i", answer)[0]:
                part = connection.recv(4096)
                if not part:
                    return False
                answer += part
    except OSError:
        return False
    return b"\x08isWritablePrimary\0\x01" in answer
