"""A child process that cannot outlive its owner, with its output in a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vnpulse.embedded import reaper
from vnpulse.embedded.errors import ComponentFailed, StartCancelled, one_line

DEFAULT_GRACE_S = 15.0
PROBE_PERIOD_S = 0.05
KILL_DEADLINE_S = 10.0
"""What the guardian gets to kill and reap everything after the grace was cut short."""

LOG_ROTATE_BYTES = 10_000_000
TAIL_BYTES = 64_000
TAIL_LINES = 200

_TROUBLE = re.compile(r"\b(ERROR|FATAL|CRITICAL|Error|error:|Exception)\b|\w+(Error|Exception)\b")
_ADDRESS_IN_USE = re.compile(
    r"address (is )?already in use|EADDRINUSE|port \S+ is (already )?in use", re.IGNORECASE
)


class ManagedProcess:
    """One command under the guardian (see `vnpulse.embedded.reaper`).

    What survives whose death: nothing of the command survives this object's process, however it dies;
    the command survives nothing. The log file stays, and one older one (``.1``).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        grace_s: float = DEFAULT_GRACE_S,
        hold_fds: Sequence[int] = (),
        own_log: Path | None = None,
    ) -> None:
        """``env`` changes the inherited environment, None removes a variable. ``hold_fds`` stay open in
        the guardian (never in the command) for as long as anything of the command is alive: a lock given
        here is free only when all is gone. ``own_log`` is a file that the command itself writes and that
        explains a failure better than its output."""
        self.name = name
        self.command = list(command)
        self.log_path = log_path
        self.grace_s = grace_s
        self._env = dict(env or {})
        self._cwd = cwd
        self._hold_fds = tuple(hold_fds)
        self._own_log = own_log
        self._guardian: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def alive(self) -> bool:
        return self._guardian is not None and self._guardian.poll() is None

    @property
    def pid(self) -> int | None:
        """The guardian's process id; the command is its child. None before `start`."""
        return None if self._guardian is None else self._guardian.pid

    @property
    def command_pid(self) -> int | None:
        """The process id of the command itself, None when it is dead."""
        if self._guardian is None:
            return None
        with suppress(OSError, IndexError):
            path = Path(f"/proc/{self._guardian.pid}/task/{self._guardian.pid}/children")
            return int(path.read_text().split()[0])
        return None

    def descendants(self) -> list[int]:
        """Process ids of all that lives below the guardian: the command, and what that has started."""
        return [] if self._guardian is None else reaper.descendants(self._guardian.pid)

    def descendant(self, name: str) -> int | None:
        """The process id of one of them that the kernel calls ``name`` (its first 15 characters)."""
        return next((pid for pid in self.descendants() if _kernel_name(pid) == name), None)

    @property
    def exit_status(self) -> int | None:
        """The command's exit status (128+N for signal N), None while it runs."""
        return None if self._guardian is None else self._guardian.poll()

    def start(self) -> None:
        """Raises ComponentFailed when the command cannot even be spawned."""
        if self.alive:
            raise RuntimeError(f"{self.name} is already started")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_ROTATE_BYTES:
            self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
        env = {**os.environ, **{k: v for k, v in self._env.items() if v is not None}}
        for name, value in self._env.items():
            if value is None:
                env.pop(name, None)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._guardian = subprocess.Popen(
                    # By path and isolated: starts in 30 ms, and needs neither PYTHONPATH nor a site.
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        reaper.__file__,
                        f"--grace-s={self.grace_s}",
                        "--",
                        *self.command,
                    ],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=env,
                    cwd=self._cwd,
                    pass_fds=self._hold_fds,
                    start_new_session=True,
                )
            except OSError as error:
                raise ComponentFailed(self.name, f"cannot be started: {one_line(error)}") from error

    def wait(self, deadline_s: float) -> int | None:
        """The exit status, or None when the command is still running at the deadline."""
        if self._guardian is None:
            return None
        try:
            return self._guardian.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None

    def run_to_end(self, deadline_s: float, cancel: threading.Event | None = None) -> None:
        """Starts a short command and returns when it ended with status 0. Raises ComponentFailed when it
        did not, or not in time, StartCancelled on ``cancel``; nothing of it is left in any case."""
        self.start()
        give_up_at = time.monotonic() + deadline_s
        try:
            while (status := self.wait(PROBE_PERIOD_S)) is None:
                if cancel is not None and cancel.is_set():
                    raise StartCancelled(f"{self.name} was given up")
                if time.monotonic() > give_up_at:
                    raise self._failure(f"was not done after {deadline_s:.0f} s")
            if status != 0:
                raise self._failure(f"ended with status {status}")
        finally:
            self.stop()

    def stop(self, deadline_s: float = DEFAULT_GRACE_S) -> None:
        """SIGTERM, up to ``deadline_s`` to finish, then SIGKILL to all of it. Idempotent."""
        guardian = self._guardian
        if guardian is None or guardian.stdin is None:
            return
        guardian.terminate()
        if self.wait(deadline_s) is None:
            guardian.terminate()  # the second signal cuts the grace short
            if self.wait(KILL_DEADLINE_S) is None:
                guardian.kill()
                guardian.wait()
        guardian.stdin.close()

    def tail(self, n: int = 20) -> list[str]:
        """The last ``n`` non-empty lines that were logged since `start`."""
        return tail_of_file(self.log_path, n, since=self._log_start)

    def wait_until_ready(
        self,
        probe: Callable[[], bool],
        deadline_s: float,
        cancel: threading.Event | None = None,
    ) -> None:
        """Returns when ``probe`` says True. Raises ComponentFailed when the command ends or the deadline
        passes (naming the last useful log line and the log), StartCancelled on ``cancel``."""
        give_up_at = time.monotonic() + deadline_s
        pause = cancel or threading.Event()
        while not pause.is_set():
            if not self.alive:
                raise self._failure(f"ended with status {self.exit_status} while starting")
            if probe():
                return
            if time.monotonic() > give_up_at:
                raise self._failure(f"was not ready after {deadline_s:.0f} s")
            pause.wait(PROBE_PERIOD_S)
        raise StartCancelled(f"the start of {self.name} was given up")

    def last_words(self) -> str:
        """The last useful log line and where the log is, for the end of an error message."""
        path, lines = self._explaining_log()
        reason = last_useful_line(lines)
        return f"{': ' + one_line(reason) if reason else ''} (log: {path})"

    def _explaining_log(self) -> tuple[Path, list[str]]:
        if self._own_log is not None and (lines := tail_of_file(self._own_log, TAIL_LINES)):
            return self._own_log, lines
        return self.log_path, self.tail(TAIL_LINES)

    def _failure(self, what: str) -> ComponentFailed:
        in_use = any(_ADDRESS_IN_USE.search(line) for line in self._explaining_log()[1])
        return ComponentFailed(self.name, what + self.last_words(), address_in_use=in_use)


def _kernel_name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def tail_of_file(path: Path, n: int, *, since: int = 0) -> list[str]:
    """The last ``n`` non-empty lines after byte ``since``; an unreadable file has none."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0 if since > end else since, end - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-n:]


def last_useful_line(lines: Sequence[str]) -> str:
    """The last line that speaks of trouble and is no stack frame, else the last line, else nothing."""
    for line in reversed(lines):
        if _TROUBLE.search(line) and not line.lstrip().startswith(("at ", "File ")):
            return line.strip()
    return lines[-1].strip() if lines else ""
