"""A storm over processes that do nothing: everything is struck, healed and waited for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from vnpulse.chaos import strikes
from vnpulse.chaos.faults import Fault, Planned
from vnpulse.chaos.relay import Relay
from vnpulse.chaos.storm import Storm
from vnpulse.embedded.process import ManagedProcess
from vnpulse.errors import StoreUnavailable, VnpulseError

ACTOR = [sys.executable, "-c", "import time; time.sleep(600)"]


class Idle:
    """A deployment of processes that sleep; its Ray node is one actor. What dies is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes = {part: self._start(part) for part in ("mongo", "kafka", "pipelines", "ray")}
        self.restarted: list[str] = []

    def _start(self, part: str) -> ManagedProcess:
        process = ManagedProcess(part, ACTOR, self._folder / f"{part}.log", grace_s=0.0)
        process.start()
        return process

    def process(self, name: str) -> ManagedProcess | None:
        return self.processes.get(name)

    def heal(self) -> list[str]:
        dead = [part for part, process in self.processes.items() if not process.alive]
        for part in dead:
            self.processes[part].stop()
            self.processes[part] = self._start(part)
        self.restarted += dead
        return dead

    def statuses(self) -> list[Mapping[str, Any]]:
        pid = self.processes["ray"].command_pid
        if pid is None:
            raise StoreUnavailable("nobody answers")
        row = {"name": "storage/prices", "status": "running", "error": "", "pid": pid}
        return [{**row, "updated_s": time.time()}]


class Feed:
    """A feeder that sends all it may at once."""

    sent = 0
    failure: Exception | None = None

    def allow(self, minutes: int) -> None:
        self.sent = minutes


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUSPENDED_S", "CUT_S", "LONG_CUT_S"):
        monkeypatch.setattr(strikes, name, 0.1)
    monkeypatch.setattr("vnpulse.chaos.storm.NEXT_MINUTE_TIMEOUT_S", 0.0)


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Idle]:
    idle = Idle(tmp_path)
    yield idle
    for process in idle.processes.values():
        process.stop(0.0)


@pytest.fixture
def relays() -> Iterator[dict[str, Relay]]:
    with Relay("mongo", lambda: 1) as mongo, Relay("kafka", lambda: 1) as kafka:
        yield {"mongo": mongo, "kafka": kafka}


def rage(idle: Idle, relays: dict[str, Relay], plan: list[Planned], feed: Feed | None = None) -> list[Fault]:
    said: list[str] = []
    feeder: Any = feed or Feed()
    storm = Storm(idle, feeder, relays, 10, said.append, idle.statuses, lambda: 0)
    healed = storm.rage(plan, 0.0)
    assert len(said) == len(plan)
    assert all(one.seconds > 0 for one in healed)
    return [one.fault for one in healed]


@pytest.mark.parametrize(
    ("fault", "dies"),
    [
        (Fault.KILL_STORE, ["mongo"]),
        (Fault.KILL_BROKER, ["kafka"]),
        (Fault.KILL_DRIVER, ["pipelines"]),
        (Fault.KILL_HEAD, ["ray"]),
        (Fault.KILL_CONSUMER, ["ray"]),
        (Fault.SUSPEND_CONSUMER, []),
        (Fault.SUSPEND_BROKER, []),
        (Fault.CUT_STORE, []),
        (Fault.LONG_CUT_BROKER, []),
        (Fault.RESET_STORE, []),
    ],
)
def test_a_fault_strikes_whom_it_should_and_is_healed(
    idle: Idle, relays: dict[str, Relay], fault: Fault, dies: list[str]
) -> None:
    assert rage(idle, relays, [Planned(fault, 0.0, 0.0)]) == [fault]
    assert idle.restarted == dies
    assert not any(relay.is_cut for relay in relays.values())


def test_faults_that_come_together_are_waited_for_together(idle: Idle, relays: dict[str, Relay]) -> None:
    """The same line twice: the second cut waits for the end of the first."""
    plan = [
        Planned(Fault.CUT_STORE, 0.0, 0.0),
        Planned(Fault.CUT_STORE, 0.0, 0.0, together=True),
        Planned(Fault.KILL_BROKER, 0.0, 0.0, together=True),
        Planned(Fault.KILL_STORE, 0.0, 0.0),
    ]
    assert rage(idle, relays, plan) == [planned.fault for planned in plan]
    assert idle.restarted == ["kafka", "mongo"]


def test_a_feeder_that_gives_up_ends_the_storm(idle: Idle, relays: dict[str, Relay]) -> None:
    feed = Feed()
    feed.failure = RuntimeError("no more")
    with pytest.raises(VnpulseError, match="the feeder failed: no more"):
        rage(idle, relays, [Planned(Fault.RESET_STORE, 0.0, 0.0)], feed)


def test_what_cannot_be_healed_ends_the_storm(
    idle: Idle, relays: dict[str, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[str]:
        raise VnpulseError("mongo ended with status 1")

    monkeypatch.setattr(idle, "heal", fail)
    with pytest.raises(VnpulseError, match="cannot be healed: mongo ended with status 1"):
        rage(idle, relays, [Planned(Fault.KILL_STORE, 0.0, 0.0)])
