"""Which faults there are, and a schedule of them that a seed repeats."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """What is done, and to whom: a kill is SIGKILL, suspended is SIGSTOP and after a while SIGCONT."""

    KILL_CONSUMER = "kill consumer"
    KILL_ANALYZER = "kill analyzer"
    KILL_SUPERVISOR = "kill supervisor"
    KILL_DRIVER = "kill driver"
    KILL_STORE = "kill store"
    KILL_BROKER = "kill broker"
    KILL_RAY = "kill ray"
    """The head with its GCS and raylet: every actor goes with it."""
    SUSPEND_CONSUMER = "suspend consumer"
    SUSPEND_ANALYZER = "suspend analyzer"
    SUSPEND_STORE = "suspend store"
    SUSPEND_BROKER = "suspend broker"
    HANG_CONSUMER = "hang consumer"
    """Suspended for good: neither dead nor answering, until the supervisor replaces it."""


WEIGHTS: dict[Fault, int] = {
    Fault.KILL_CONSUMER: 8,
    Fault.KILL_ANALYZER: 6,
    Fault.KILL_SUPERVISOR: 3,
    Fault.KILL_DRIVER: 2,
    Fault.KILL_STORE: 3,
    Fault.KILL_BROKER: 3,
    Fault.KILL_RAY: 1,
    Fault.SUSPEND_CONSUMER: 3,
    Fault.SUSPEND_ANALYZER: 2,
    Fault.SUSPEND_STORE: 2,
    Fault.SUSPEND_BROKER: 2,
    Fault.HANG_CONSUMER: 1,
}
"""How often each comes, in proportion."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: ``pick`` in [0, 1) chooses among those that it may hit, ``after`` in [0, 1) the moment
    within its stretch of the replay."""

    fault: Fault
    pick: float
    after: float


def schedule(kills: int, seed: int, faults: Sequence[Fault] = ()) -> list[Planned]:
    """Return ``kills`` faults in the order of ``seed``, of all kinds or of ``faults`` only.

    Every kind comes once before chance decides, as far as ``kills`` reaches.
    """
    rng = random.Random(seed)
    chosen = list(faults or WEIGHTS)
    first = rng.sample(chosen, min(len(chosen), kills))
    more = rng.choices(chosen, [WEIGHTS[fault] for fault in chosen], k=kills - len(first))
    return [Planned(fault, rng.random(), rng.random()) for fault in [*first, *more]]
