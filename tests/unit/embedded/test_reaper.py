"""The guardian leaves nothing behind: real processes, found again by a mark in their environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.waiting import eventually

DEADLINE_S = 10.0
SLEEPER = "import time; time.sleep(600)"
# Leaves its session and its parent, as what `ray start` makes does.
DAEMON_MAKER = f"""
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", {SLEEPER!r}])
    os._exit(0)
os.wait()
"""
IGNORES_TERM = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True);" + SLEEPER
)


class Marked:
    """Starts processes that carry a mark, and counts those that still live."""

    def __init__(self) -> None:
        self.mark = f"VNPULSE_TEST_MARK={uuid.uuid4().hex}"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        name, _, value = self.mark.partition("=")
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, name: value}
        )
        self.started.append(process)
        return process

    def guard(self, *command: str, grace_s: float = 5.0) -> subprocess.Popen[bytes]:
        guardian = (sys.executable, "-m", "vnpulse.embedded.reaper", f"--grace-s={grace_s}", "--")
        return self.start(*guardian, *command)

    def clear(self) -> None:
        for pid in self.living():
            os.kill(pid, signal.SIGKILL)
        for process in self.started:
            with process:  # closes the pipes and waits
                pass

    def living(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state = (folder / "stat").read_text().rpartition(") ")[2].split()[0]
                if state != "Z" and self.mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found


@pytest.fixture
def marked() -> Iterator[Marked]:
    processes = Marked()
    yield processes
    processes.clear()


def python(code: str) -> tuple[str, str, str]:
    return sys.executable, "-c", code


@pytest.mark.parametrize("status", [0, 3])
def test_exit_status_passes_through(marked: Marked, status: int) -> None:
    assert marked.guard(*python(f"raise SystemExit({status})")).wait(DEADLINE_S) == status


def test_death_by_signal_becomes_128_plus_number(marked: Marked) -> None:
    guardian = marked.guard(*python("import os; os.kill(os.getpid(), 9)"))
    assert guardian.wait(DEADLINE_S) == 128 + signal.SIGKILL


def test_a_command_that_does_not_exist_gives_127(marked: Marked) -> None:
    assert marked.guard("/no/such/command").wait(DEADLINE_S) == 127


def test_closed_stdin_stops_command_with_sigterm(marked: Marked) -> None:
    guardian = marked.guard(*python(SLEEPER))
    assert eventually(lambda: len(marked.living()) == 2)
    assert guardian.stdin is not None
    guardian.stdin.close()
    assert guardian.wait(DEADLINE_S) == 128 + signal.SIGTERM
    assert marked.living() == []


def test_daemon_is_killed_when_its_command_has_ended(marked: Marked) -> None:
    assert marked.guard(*python(DAEMON_MAKER)).wait(DEADLINE_S) == 0
    assert marked.living() == []


def test_daemon_is_killed_on_sigterm(marked: Marked) -> None:
    guardian = marked.guard(*python(DAEMON_MAKER + SLEEPER))
    assert eventually(lambda: len(marked.living()) == 3)
    guardian.terminate()
    guardian.wait(DEADLINE_S)
    assert marked.living() == []


def test_command_that_ignores_sigterm_is_killed_after_the_grace(marked: Marked) -> None:
    guardian = marked.guard(*python(IGNORES_TERM), grace_s=0.2)
    assert guardian.stdout is not None
    assert guardian.stdout.readline() == b"deaf\n"
    guardian.terminate()
    assert guardian.wait(DEADLINE_S) == 128 + signal.SIGKILL
    assert marked.living() == []


def test_second_sigterm_cuts_the_grace_short(marked: Marked) -> None:
    guardian = marked.guard(*python(IGNORES_TERM), grace_s=600)
    assert guardian.stdout is not None
    assert guardian.stdout.readline() == b"deaf\n"

    def ended() -> bool:
        guardian.terminate()
        return guardian.poll() is not None

    assert eventually(ended)
    assert marked.living() == []


def test_killed_owner_leaves_nothing(marked: Marked) -> None:
    """The owner also leaves a fork behind that holds the pipe open: its death must be seen all the same."""
    owner_code = f"""
import os, subprocess, sys, time
command = [sys.executable, "-c", {DAEMON_MAKER + SLEEPER!r}]
subprocess.Popen([sys.executable, "-m", "vnpulse.embedded.reaper", "--", *command], stdin=subprocess.PIPE)
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(600)
time.sleep(600)
"""
    owner = marked.start(*python(owner_code))
    assert owner.stdout is not None
    fork = int(owner.stdout.readline())
    assert eventually(lambda: len(marked.living()) == 5)  # owner, fork, guardian, command, daemon
    owner.kill()
    owner.wait()
    assert eventually(lambda: marked.living() == [fork])


def test_killed_guardian_takes_its_command_along(marked: Marked) -> None:
    guardian = marked.guard(*python(SLEEPER))
    assert eventually(lambda: len(marked.living()) == 2)
    guardian.kill()
    guardian.wait()
    assert eventually(lambda: marked.living() == [])
