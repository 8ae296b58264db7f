"""The guardian of one command: ``python -m vnpulse.embedded.reaper [--grace-s N] -- CMD...``.

Contract
- Nothing that the command starts outlives the guardian, daemons included: the guardian is a child
  subreaper, so whatever is orphaned below it becomes its child and can be found by walking /proc.
- It stops the command when its stdin reaches EOF, when its parent is gone (kill -9 included) or on
  SIGTERM, SIGINT or SIGHUP: SIGTERM to the command, up to the grace for it to finish, then SIGKILL to
  every descendant. A second signal cuts the grace short.
- When the command ends by itself, descendants that it left are killed as well.
- It exits with the command's status, 128+N when the command died of signal N, 127 when it cannot be run.
- It runs in a session of its own, so Ctrl-C in the terminal does not reach the command: the owner
  decides in which order things stop.
- If the guardian itself is killed with SIGKILL, the kernel sends the command SIGTERM.

It signals only its own descendants, by process id. Standard library only, Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

DEFAULT_GRACE_S = 10.0
KILL_ROUND_S = 0.02
"""Pause between two rounds of SIGKILL; a killed process needs a moment to become reapable."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
EXIT_CANNOT_RUN = 127
EXIT_SIGNAL_BASE = 128

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def descendants(root: int) -> list[int]:
    """Process ids of all living descendants of ``root``; zombies are left out."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                # The name, in parentheses, may itself hold spaces and parentheses: cut at the last one.
                state, parent = file.read().rpartition(b") ")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in (b"Z", b"X"):
            children.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


class Reaper:
    """One command and everything below it; `run` returns the exit status for the guardian itself."""

    def __init__(self, command: Sequence[str], grace_s: float) -> None:
        self.command = list(command)
        self.grace_s = grace_s
        self.status: int | None = None
        self._stop_requests = 0
        self._command_pid = 0

    def run(self) -> int:
        with contextlib.suppress(PermissionError):  # already a leader: the caller has seen to it
            os.setsid()
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)

        selector = selectors.DefaultSelector()
        selector.register(wake_read, selectors.EVENT_READ, "wake")
        self._watch_owner(selector)
        try:
            process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_guardian)
        except OSError as error:
            print(f"cannot run {self.command[0]}: {error.strerror}", file=sys.stderr)
            return EXIT_CANNOT_RUN
        self._command_pid = process.pid
        try:
            self._wait_for_command(selector, wake_read)
        finally:
            self._clear_descendants()
            # Popen must not warn at exit about a child that was reaped without it.
            process.returncode = self.status if self.status is not None else 0
        return self.status if self.status is not None else EXIT_SIGNAL_BASE + signal.SIGKILL

    def _on_stop_signal(self, *_: object) -> None:
        self._stop_requests += 1

    def _watch_owner(self, selector: selectors.BaseSelector) -> None:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "stdin")
        # A process that the owner forked may hold the pipe open after the owner's death, hence the pidfd.
        # An old kernel has none; when the owner is gone already, stdin is at EOF.
        with contextlib.suppress(OSError):
            selector.register(os.pidfd_open(os.getppid()), selectors.EVENT_READ, "owner")

    def _wait_for_command(self, selector: selectors.BaseSelector, wake_read: int) -> None:
        deadline: float | None = None
        while not self._reap():
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            for key, _ in selector.select(timeout):
                if key.data == "wake":
                    os.read(wake_read, 4096)
                elif key.data == "owner" or not os.read(key.fd, 4096):
                    selector.unregister(key.fd)
                    self._stop_requests = max(self._stop_requests, 1)
            if self._reap():
                return
            if self._stop_requests and deadline is None:
                deadline = time.monotonic() + self.grace_s
                os.kill(self._command_pid, signal.SIGTERM)
            if self._stop_requests > 1 or (deadline is not None and time.monotonic() >= deadline):
                return

    def _reap(self) -> bool:
        """Collects every child that has ended, adopted orphans included; True when the command has."""
        while True:
            try:
                pid, raw = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self.status is not None
            if pid == 0:
                return self.status is not None
            if pid == self._command_pid:
                code = os.waitstatus_to_exitcode(raw)
                self.status = code if code >= 0 else EXIT_SIGNAL_BASE - code

    def _clear_descendants(self) -> None:
        """SIGKILL in rounds until nothing is left: a process can fork while the list is being read."""
        untouchable: set[int] = set()
        while True:
            left = [pid for pid in descendants(os.getpid()) if pid not in untouchable]
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                except PermissionError:
                    untouchable.add(pid)  # setuid program: it is not ours to kill
            self._reap()
            if not left:
                return
            time.sleep(KILL_ROUND_S)


def _die_with_guardian() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vnpulse.embedded.reaper", description="Guard one command.")
    parser.add_argument(
        "--grace-s", type=float, default=DEFAULT_GRACE_S, help="seconds from SIGTERM to SIGKILL"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("no command given")
    return Reaper(command, options.grace_s).run()


if __name__ == "__main__":
    sys.exit(main())
