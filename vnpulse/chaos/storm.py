"""The storm: carry out a schedule of faults while the sample flows, and time how long each takes to heal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from vnpulse.chaos.faults import Fault, Planned
from vnpulse.chaos.feeder import Feeder
from vnpulse.errors import VnpulseError
from vnpulse.launcher import Deployment
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore

SUSPENDED_S = 4.0
"""Longer than a poll and a commit, shorter than what the supervisor takes for a hanging process."""

DEATH_TIMEOUT_S = 30.0
HEAL_TIMEOUT_S = 240.0
POLL_PERIOD_S = 0.2
FRESH_S = 3.0
"""A status younger than this was written by a living supervisor, which writes every second."""

_CONSUMERS = ("storage", "analysis", "aggregation", "notification")
_ANALYZERS = ("technical", "sentiment")
_PARTS = {
    Fault.KILL_STORE: "mongo",
    Fault.KILL_BROKER: "kafka",
    Fault.KILL_RAY: "ray",
    Fault.KILL_DRIVER: "pipelines",
    Fault.SUSPEND_STORE: "mongo",
    Fault.SUSPEND_BROKER: "kafka",
}
_KINDS = {
    Fault.KILL_CONSUMER: _CONSUMERS,
    Fault.SUSPEND_CONSUMER: _CONSUMERS,
    Fault.HANG_CONSUMER: _CONSUMERS,
    Fault.KILL_ANALYZER: _ANALYZERS,
    Fault.SUSPEND_ANALYZER: _ANALYZERS,
    Fault.KILL_SUPERVISOR: ("supervisor",),
}


@dataclass(frozen=True, slots=True)
class Healed:
    """One fault that was survived: whom it hit, and the seconds until everything ran again."""

    fault: Fault
    victim: str
    seconds: float


class Storm:
    """Works through a schedule. The feeder gets a stretch of the sample for each fault, so the load is
    steady however long the faults take to heal."""

    def __init__(
        self, deployment: Deployment, feeder: Feeder, minutes: int, say: Callable[[str], None]
    ) -> None:
        self._deployment = deployment
        self._feeder = feeder
        self._minutes = minutes
        self._say = say

    def rage(self, plan: list[Planned], pace_s: float) -> list[Healed]:
        """Carry out ``plan``; return what was hit. Raises VnpulseError if something does not heal."""
        healed = []
        for number, planned in enumerate(plan, start=1):
            until = self._minutes * number // (len(plan) + 1)
            stretch = max(0, until - self._feeder.sent)
            self._feeder.allow(until)
            self._look_after(planned.after * stretch * pace_s)
            victim, seconds = self._strike(planned)
            healed.append(Healed(planned.fault, victim, seconds))
            self._say(f"{number}/{len(plan)}  {planned.fault.value:<18} {victim:<40} {seconds:6.1f} s")
        return healed

    def _look_after(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._heal()
            time.sleep(min(POLL_PERIOD_S, left))

    def _heal(self) -> None:
        if self._feeder.failure is not None:
            raise VnpulseError(f"the feeder failed: {self._feeder.failure}")
        self._deployment.heal()

    def _strike(self, planned: Planned) -> tuple[str, float]:
        part = _PARTS.get(planned.fault)
        before = self._rows()
        if part is not None:
            victim, pid = part, None
        else:
            of_kind = [row for row in before if str(row["name"]).split("/")[0] in _KINDS[planned.fault]]
            row = of_kind[int(planned.pick * len(of_kind))]
            victim, pid = str(row["name"]), int(row["pid"])
        began = time.monotonic()
        if planned.fault.name.startswith("SUSPEND"):
            self._signal(part, pid, signal.SIGSTOP)
            self._look_after(SUSPENDED_S)
            self._signal(part, pid, signal.SIGCONT)
        elif planned.fault is Fault.HANG_CONSUMER:
            self._signal(part, pid, signal.SIGSTOP)
        else:
            self._signal(part, pid, signal.SIGKILL)
        replaced = None if planned.fault.name.startswith("SUSPEND") or part is not None else (victim, pid)
        self._await_health(replaced, planned)
        return victim, time.monotonic() - began

    def _signal(self, part: str | None, pid: int | None, number: int) -> None:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            return
        assert part is not None
        process = self._deployment.process(part)
        assert process is not None
        process.signal(number)
        if number == signal.SIGKILL and process.wait(DEATH_TIMEOUT_S) is None:
            raise VnpulseError(f"{part} survived a SIGKILL")

    def _await_health(self, replaced: tuple[str, int | None] | None, planned: Planned) -> None:
        give_up_at = time.monotonic() + HEAL_TIMEOUT_S
        while time.monotonic() < give_up_at:
            self._heal()
            if self._healthy(replaced):
                return
            time.sleep(POLL_PERIOD_S)
        raise VnpulseError(f"{planned.fault.value}: not healed after {HEAL_TIMEOUT_S:.0f} s")

    def _healthy(self, replaced: tuple[str, int | None] | None) -> bool:
        try:
            rows = self._rows()
        except VnpulseError:
            return False
        now_s = time.time()
        fresh = all(row["status"] == "running" and now_s - row["updated_s"] < FRESH_S for row in rows)
        if replaced is not None:
            name, pid = replaced
            fresh = fresh and any(row["name"] == name and row["pid"] != pid for row in rows)
        return bool(rows) and fresh

    def _rows(self) -> list[dict[str, Any]]:
        return StatusStore(connect(self._deployment.settings.store)).read()
