"""The storm: carry out a schedule of faults while the sample flows, and time how long each takes to heal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vnpulse.chaos.faults import Fault, Planned
from vnpulse.chaos.feeder import Feeder
from vnpulse.chaos.relay import Relay
from vnpulse.chaos.strikes import Parts, Striker, Struck
from vnpulse.errors import VnpulseError

HEAL_TIMEOUT_S = 300.0
"""A long cut, and then a head that takes its time."""

HEALER_STOP_S = 10.0
POLL_PERIOD_S = 0.2
FRESH_S = 3.0
"""A status younger than this was written by a living supervisor, which writes every second."""

ALL_ALIVE_S = 1.0
"""Since the healer last found nothing dead; it looks every POLL_PERIOD_S unless it has something to do."""

IN_WORK_S = 0.3
"""Within so much after a minute was sent the pipelines work on it."""

NEXT_MINUTE_TIMEOUT_S = 3.0
STILL_BROKEN_S = 3.0
"""Faults that come together lie at most so far apart: most have not healed by then."""


@dataclass(frozen=True, slots=True)
class Healed:
    """One fault that was survived: whom it hit, and the seconds until everything ran again and nothing
    that was sent waited any more."""

    fault: Fault
    victim: str
    seconds: float
    together: bool


class Storm:
    """Works through a schedule. The feeder gets a stretch of the sample for each fault, so the load is
    steady however long the faults take to heal.

    ``statuses`` returns what every actor says of itself, ``waiting`` how many records no group has worked
    off yet; both may raise VnpulseError while nobody answers.
    """

    def __init__(
        self,
        deployment: Parts,
        feeder: Feeder,
        relays: Mapping[str, Relay],
        minutes: int,
        say: Callable[[str], None],
        statuses: Callable[[], Sequence[Mapping[str, Any]]],
        waiting: Callable[[], int],
    ) -> None:
        self._deployment = deployment
        self._feeder = feeder
        self._striker = Striker(deployment, relays)
        self._minutes = minutes
        self._say = say
        self._statuses = statuses
        self._waiting = waiting
        self._rows: Sequence[Mapping[str, Any]] = []
        self._healing_failed: Exception | None = None
        self._all_alive_at = 0.0

    def rage(self, plan: Sequence[Planned], pace_s: float) -> list[Healed]:
        """Carry out ``plan``; return what was hit. Raises VnpulseError if something does not heal."""
        healed: list[Healed] = []
        open_ones: list[Struck] = []
        self._look()
        with self._healer():
            for number, planned in enumerate(plan, start=1):
                until = self._minutes * number // (len(plan) + 1)
                stretch = max(0, until - self._feeder.sent)
                self._feeder.allow(until)
                if planned.together:
                    time.sleep(planned.after * STILL_BROKEN_S)
                else:
                    self._await_work(planned, stretch * pace_s)
                open_ones.append(self._strike(planned, open_ones))
                if number < len(plan) and plan[number].together:
                    continue
                self._await_health(open_ones)
                now = time.monotonic()
                for one in open_ones:
                    fault, seconds = one.planned.fault, now - one.began
                    healed.append(Healed(fault, one.victim, seconds, len(open_ones) > 1))
                    mark = "with the next" if one is not open_ones[-1] else ""
                    line = f"{len(healed)}/{len(plan)}  {fault.value:<18} {one.victim:<42} {seconds:6.1f} s"
                    self._say(f"{line}  {mark}".rstrip())
                open_ones = []
        return healed

    @contextmanager
    def _healer(self) -> Iterator[None]:
        """Have what dies brought back, as `vnpulse up` does, on a thread: meanwhile more can die."""
        stopping = threading.Event()

        def heal() -> None:
            while not stopping.wait(POLL_PERIOD_S):
                began = time.monotonic()
                try:
                    if not self._deployment.heal():
                        self._all_alive_at = began
                except Exception as error:
                    self._healing_failed = error
                    return

        thread = threading.Thread(target=heal, name="healer", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join(HEALER_STOP_S)

    def _await_work(self, planned: Planned, stretch_s: float) -> None:
        """Wait for the fault's moment: shortly after a minute was sent, so that there is work to disturb."""
        time.sleep(planned.after * stretch_s)
        sent, give_up_at = self._feeder.sent, time.monotonic() + NEXT_MINUTE_TIMEOUT_S
        while self._feeder.sent == sent and time.monotonic() < give_up_at:
            time.sleep(0.01)
        time.sleep(planned.pick * IN_WORK_S)

    def _strike(self, planned: Planned, open_ones: Sequence[Struck]) -> Struck:
        give_up_at = time.monotonic() + HEAL_TIMEOUT_S
        while time.monotonic() < give_up_at:
            self._check()
            struck = self._striker.strike(planned, self._rows)
            if struck is not None:
                return struck
            time.sleep(POLL_PERIOD_S)  # an earlier fault took it away
            self._look()
        raise VnpulseError(f"{planned.fault.value}: nobody to hit; open: {_names(open_ones)}")

    def _await_health(self, struck: Sequence[Struck]) -> None:
        give_up_at = time.monotonic() + HEAL_TIMEOUT_S
        why = ""
        while time.monotonic() < give_up_at:
            self._check()
            why = self._ailment(struck)
            if not why:
                return
            time.sleep(POLL_PERIOD_S)
        raise VnpulseError(f"{_names(struck)}: not healed after {HEAL_TIMEOUT_S:.0f} s: {why}")

    def _check(self) -> None:
        if self._healing_failed is not None:
            raise VnpulseError(f"cannot be healed: {self._healing_failed}") from self._healing_failed
        if self._feeder.failure is not None:
            raise VnpulseError(f"the feeder failed: {self._feeder.failure}")

    def _ailment(self, struck: Sequence[Struck]) -> str:
        """Say what is not as it should be; nothing if all is well."""
        if not all(one.is_over() for one in struck):
            return "somebody is still held up"
        for one in struck:
            if one.process is not None:
                part, killed = one.process
                now = self._deployment.process(part)
                if now is None or now is killed or not now.alive:
                    return f"{part} is not back"
        if time.monotonic() - self._all_alive_at > ALL_ALIVE_S:
            return "what died is being brought back"
        if not self._look():
            return "no status"
        living = self._striker.living()
        for row in self._rows:
            name = row["name"]
            if row["status"] != "running":
                return f"{name} is {row['status']}: {row['error']}"
            if time.time() - row["updated_s"] > FRESH_S:
                return f"{name}: nothing new"
            pid = row.get("pid")  # not there before its first answer
            if pid not in living or any(one.actor == (name, pid) for one in struck):
                return f"{name} is not replaced"
        try:
            waiting = self._waiting()
        except VnpulseError as error:
            return str(error)
        return f"{waiting} records wait" if waiting else ""

    def _look(self) -> bool:
        """Read what the actors say; keep what they said last if the store does not answer."""
        try:
            self._rows = self._statuses()
        except VnpulseError:
            return False
        return bool(self._rows)


def _names(struck: Sequence[Struck]) -> str:
    return ", ".join(one.planned.fault.value for one in struck)
