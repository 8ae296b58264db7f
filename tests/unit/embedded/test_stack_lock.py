"""Who owns a state folder, without starting any of the parts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vnpulse.embedded.errors import StackAlreadyRunning, StackNotRunning
from vnpulse.embedded.stack import ADDRESSES_FILE, EmbeddedConfig, EmbeddedStack, read_addresses


def empty_stack(state_dir: Path) -> EmbeddedStack:
    return EmbeddedStack(
        EmbeddedConfig(state_dir=state_dir, with_kafka=False, with_mongo=False, with_ray=False)
    )


def test_addresses_of_a_running_stack(tmp_path: Path) -> None:
    with empty_stack(tmp_path) as stack:
        assert read_addresses(tmp_path) == stack.addresses
        assert read_addresses(tmp_path).owner_pid == os.getpid()
        assert stack.failed() == {}


@pytest.mark.parametrize("folder", ["", "never-made"])
def test_no_stack_is_one_line_with_what_to_do(tmp_path: Path, folder: str) -> None:
    with pytest.raises(StackNotRunning, match="start one with"):
        read_addresses(tmp_path / folder)


def test_second_owner_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with empty_stack(tmp_path) as first:
        with pytest.raises(StackAlreadyRunning, match=f"owned by process {os.getpid()}"):
            empty_stack(tmp_path).start()
        assert read_addresses(tmp_path) == first.addresses


def test_a_stopped_stack_can_be_started_again(tmp_path: Path) -> None:
    stack = empty_stack(tmp_path)
    for _ in range(2):
        stack.start()
        stack.stop()
        stack.stop()
    with pytest.raises(StackNotRunning):
        read_addresses(tmp_path)


def test_addresses_left_by_a_killed_owner_are_not_believed(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack
config = EmbeddedConfig(state_dir=Path({str(tmp_path)!r}), with_kafka=False, with_mongo=False, with_ray=False)
EmbeddedStack(config).start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert (tmp_path / ADDRESSES_FILE).exists()
    with pytest.raises(StackNotRunning):
        read_addresses(tmp_path)
    with empty_stack(tmp_path):
        assert read_addresses(tmp_path).owner_pid == os.getpid()
