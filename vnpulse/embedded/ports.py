"""Ports on the loopback interface that stay the same from one start of a state folder to the next."""

from __future__ import annotations

import json
import random
import socket
import threading
from pathlib import Path

from vnpulse.embedded.atomic_file import write_atomically
from vnpulse.embedded.errors import EmbeddedStackError, PortTaken

LOOPBACK = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Above Ray's worker ports (10002-19999) and below the ports that the kernel gives to outgoing
connections (from 32768): a port chosen here is not lost to somebody's client while the stack is down."""

ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; sockets in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class PortBook:
    """Which port each listener of one state folder has. Hard state: ``ports.json``; losing it costs only
    the stability of the numbers. Safe to use from several threads of the one owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ports: dict[str, int] = {}
        try:
            stored = json.loads(path.read_text())
            self._ports = {str(name): int(port) for name, port in stored.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            pass  # first start, or a damaged file: new numbers are as good

    def port_for(self, name: str, configured: int | None = None) -> int:
        """The configured port (PortTaken when in use), else the remembered one when free, else a new one."""
        if configured is not None:
            if not is_free(configured):
                raise PortTaken(
                    f"port {configured} for {name} is in use by another process: "
                    "stop that process, or configure another port or none"
                )
            return configured
        with self._lock:
            remembered = self._ports.get(name)
            if remembered is not None and is_free(remembered):
                return remembered
            taken = set(self._ports.values())
            for _ in range(ATTEMPTS):
                port = random.randint(FIRST_PORT, LAST_PORT)
                if port not in taken and is_free(port):
                    self._ports[name] = port
                    write_atomically(self._path, json.dumps(self._ports, indent=1, sort_keys=True))
                    return port
        raise EmbeddedStackError(
            f"no free port for {name} between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}"
        )

    def forget(self, *names: str) -> None:
        """The next `port_for` chooses anew: the port was lost between the check and the start."""
        with self._lock:
            for name in names:
                self._ports.pop(name, None)
