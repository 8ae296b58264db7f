from __future__ import annotations

import fcntl
import os
import sys
import threading
from pathlib import Path

import pytest

from vnpulse.embedded.errors import ComponentFailed, StartCancelled
from vnpulse.embedded.process import ManagedProcess, last_useful_line

SLEEPER = "import time; time.sleep(600)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_goes_to_the_log_and_the_environment_is_changed(tmp_path: Path) -> None:
    os.environ["VNPULSE_TEST_GONE"] = "x"
    try:
        code = "import os; print(os.environ['ADDED'], 'VNPULSE_TEST_GONE' in os.environ)"
        env = {"ADDED": "yes", "VNPULSE_TEST_GONE": None}
        process = ManagedProcess("one", python(code), tmp_path / "one.log", env=env)
        process.start()
        assert process.wait(10) == 0
    finally:
        del os.environ["VNPULSE_TEST_GONE"]
    assert process.tail() == ["yes False"]
    process.stop()


def test_tail_shows_only_lines_of_this_start(tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("ERROR of yesterday\n")
    process = ManagedProcess("one", python("print('today')"), tmp_path / "one.log")
    process.run_to_end(10)
    assert process.tail() == ["today"]


def test_stop_is_idempotent_and_reports_dead(tmp_path: Path) -> None:
    process = ManagedProcess("one", python(SLEEPER), tmp_path / "one.log")
    process.stop()
    process.start()
    assert process.alive
    assert process.pid
    process.stop()
    process.stop()
    assert not process.alive


def test_what_the_command_has_started_is_found_by_its_name(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    process = ManagedProcess("one", python(code), tmp_path / "one.log")
    assert process.command_pid is None
    assert process.descendants() == []
    process.start()
    process.wait_until_ready(lambda: process.descendant("sleep") is not None, 10)
    assert sorted(process.descendants()) == sorted([process.command_pid, process.descendant("sleep")])  # type: ignore[type-var]
    assert process.descendant("wake") is None
    process.stop()
    assert process.descendants() == []


def test_death_while_starting_names_the_last_useful_line_and_the_log(tmp_path: Path) -> None:
    code = "import sys; sys.exit('ERROR the disk is full\\n  at Frame.java:3')"
    process = ManagedProcess("one", python(code), tmp_path / "one.log")
    process.start()
    with pytest.raises(ComponentFailed) as caught:
        process.wait_until_ready(lambda: False, 10)
    process.stop()
    assert str(caught.value) == (
        f"one ended with status 1 while starting: ERROR the disk is full (log: {tmp_path / 'one.log'})"
    )
    assert not caught.value.address_in_use


def test_lost_port_is_told_apart(tmp_path: Path) -> None:
    code = "raise SystemExit('OSError: [Errno 98] Address already in use')"
    process = ManagedProcess("one", python(code), tmp_path / "one.log")
    process.start()
    with pytest.raises(ComponentFailed) as caught:
        process.wait_until_ready(lambda: False, 10)
    process.stop()
    assert caught.value.address_in_use


def test_not_ready_at_the_deadline(tmp_path: Path) -> None:
    process = ManagedProcess("one", python(SLEEPER), tmp_path / "one.log")
    process.start()
    with pytest.raises(ComponentFailed, match="was not ready after 0 s"):
        process.wait_until_ready(lambda: False, 0.1)
    process.stop()


def test_cancel_ends_the_wait(tmp_path: Path) -> None:
    process = ManagedProcess("one", python(SLEEPER), tmp_path / "one.log")
    process.start()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(StartCancelled):
        process.wait_until_ready(lambda: False, 10, cancel)
    process.stop()


def test_held_lock_is_free_only_when_all_is_gone(tmp_path: Path) -> None:
    mine = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(mine, fcntl.LOCK_EX)
    process = ManagedProcess("one", python(SLEEPER), tmp_path / "one.log", hold_fds=[mine])
    process.start()
    os.close(mine)
    other = os.open(tmp_path / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.stop()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        (["one", "two"], "two"),
        (["KafkaException: no", "    at kafka.Kafka.main(Kafka.scala)"], "KafkaException: no"),
        (["all good", "ValueError: bad", "bye"], "ValueError: bad"),
    ],
)
def test_last_useful_line(lines: list[str], expected: str) -> None:
    assert last_useful_line(lines) == expected
