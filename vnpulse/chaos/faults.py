"""Which faults there are, and a schedule of them that a seed repeats."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """What is done, and to whom.

    A kill is SIGKILL, suspended is SIGSTOP and after a while SIGCONT, cut is a network that lets nothing
    through and tells nobody, reset is one that breaks all connections.
    """

    KILL_CONSUMER = "kill consumer"
    KILL_ANALYZER = "kill analyzer"
    KILL_SUPERVISOR = "kill supervisor"
    KILL_DRIVER = "kill driver"
    KILL_STORE = "kill store"
    KILL_BROKER = "kill broker"
    KILL_HEAD = "kill head"
    """Ray's head with all that it has started: GCS, raylet, and every actor on it."""
    KILL_GCS = "kill gcs"
    """The head's GCS alone; the head does not go on without it."""
    KILL_RAYLET = "kill raylet"
    """Of the worker node, whose actors go with it."""
    SUSPEND_CONSUMER = "suspend consumer"
    SUSPEND_ANALYZER = "suspend analyzer"
    SUSPEND_STORE = "suspend store"
    SUSPEND_BROKER = "suspend broker"
    SUSPEND_RAYLET = "suspend raylet"
    """Of the worker node, for so long that it is given up while its actors live on."""
    HANG_CONSUMER = "hang consumer"
    """Suspended for good: neither dead nor answering, until the supervisor replaces it."""
    CUT_STORE = "cut store"
    CUT_BROKER = "cut broker"
    CUT_GCS = "cut gcs"
    """Between the worker node and the GCS."""
    LONG_CUT_STORE = "long-cut store"
    """For longer than anybody waits for an answer."""
    LONG_CUT_BROKER = "long-cut broker"
    RESET_STORE = "reset store"
    RESET_BROKER = "reset broker"


WEIGHTS: dict[Fault, int] = {
    Fault.KILL_CONSUMER: 16,
    Fault.KILL_ANALYZER: 12,
    Fault.KILL_SUPERVISOR: 6,
    Fault.KILL_DRIVER: 4,
    Fault.KILL_STORE: 6,
    Fault.KILL_BROKER: 6,
    Fault.KILL_HEAD: 2,
    Fault.KILL_GCS: 2,
    Fault.KILL_RAYLET: 4,
    Fault.SUSPEND_CONSUMER: 4,
    Fault.SUSPEND_ANALYZER: 3,
    Fault.SUSPEND_STORE: 3,
    Fault.SUSPEND_BROKER: 3,
    Fault.SUSPEND_RAYLET: 2,
    Fault.HANG_CONSUMER: 1,
    Fault.CUT_STORE: 5,
    Fault.CUT_BROKER: 5,
    Fault.CUT_GCS: 2,
    Fault.LONG_CUT_STORE: 1,
    Fault.LONG_CUT_BROKER: 1,
    Fault.RESET_STORE: 3,
    Fault.RESET_BROKER: 3,
}
"""How often each comes, in proportion."""

OF_THE_STORE = frozenset(
    {Fault.KILL_STORE, Fault.SUSPEND_STORE, Fault.CUT_STORE, Fault.LONG_CUT_STORE, Fault.RESET_STORE}
)

OF_THE_WORKER_NODE = frozenset(
    {Fault.KILL_HEAD, Fault.KILL_GCS, Fault.KILL_RAYLET, Fault.SUSPEND_RAYLET, Fault.CUT_GCS}
)
"""What only a Ray of two nodes can survive, or has."""

TOGETHER = 0.3
"""The share of faults that strike while the one before has not healed."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: ``pick`` in [0, 1) chooses among those that it may hit, ``after`` in [0, 1) the moment
    within its stretch of the replay. ``together``: the fault before it is not waited for."""

    fault: Fault
    pick: float
    after: float
    together: bool = False


def schedule(kills: int, seed: int, faults: Sequence[Fault] = ()) -> list[Planned]:
    """Return ``kills`` faults in the order of ``seed``, of all kinds or of ``faults`` only.

    Every kind comes once before chance decides, as far as ``kills`` reaches.
    """
    rng = random.Random(seed)
    chosen = list(faults or WEIGHTS)
    first = rng.sample(chosen, min(len(chosen), kills))
    more = rng.choices(chosen, [WEIGHTS[fault] for fault in chosen], k=kills - len(first))
    return [
        Planned(fault, rng.random(), rng.random(), together=number > 0 and rng.random() < TOGETHER)
        for number, fault in enumerate([*first, *more])
    ]
