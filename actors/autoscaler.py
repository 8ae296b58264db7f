"""How many shards an analyzer should have: a decision from what is seen, without Ray and without a clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

LOOK_PERIOD_S = 1.0

LATE_LOOKS = 5
"""So many looks in a row must find the pool late: one long poll is no backlog."""

SETTLE_S = 30.0
"""After a change the backlog is given this long to shrink before the next shard is added."""

CALM_SHARE = 0.25
"""Calm is to be behind by no more than this share of what is too late."""

MOST_PATIENCE = 16.0
"""Each time that a shard had to come back, the calm before the next one goes is twice as long, up to so
many times what was asked for."""

RECENT_CALMS = 10.0
"""A shard that is added within so many calm stretches after one was taken away has come back."""

SPARE = 0.6
"""A shard is taken away only if the others would then be busy for less than this share of their time."""


class Bounds(NamedTuple):
    """What the settings allow: between ``least`` and ``most`` shards; ``behind_s`` is too late, and after
    ``calm_s`` without need a shard is taken away."""

    least: int
    most: int
    behind_s: float
    calm_s: float


class Seen(NamedTuple):
    """One look at a pool: by how many seconds it is behind (the age of the oldest trigger in hand, by the
    broker's clock), and the seconds of work that its shards have done so far, together."""

    behind_s: float
    worked_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """How many shards there should be, and why, for people."""

    shards: int
    why: str


class Autoscaler:
    """Scales out by one when a pool stays late, in by one after a long calm in which one fewer would do.

    It does not flap: what makes it add a shard is being late, and a shard is only taken away if the
    work of the whole calm stretch fits the rest with room to spare; every change starts both
    countings anew, and who took one away too early waits longer the next time.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._late = 0
        self._settled_at = 0.0
        self._taken_at = float("-inf")
        self._patience = 1.0
        self._calm: deque[tuple[float, float]] = deque()

    def look(self, now: float, shards: int, seen: Seen) -> Decision:
        """Take note of ``seen`` at ``now`` (seconds, ascending) with ``shards`` at work; decide."""
        bounds = self._bounds
        if not bounds.least <= shards <= bounds.most:
            return self._changed(now, max(bounds.least, min(bounds.most, shards)), "the settings")
        too_late = seen.behind_s > bounds.behind_s
        self._late = self._late + 1 if too_late else 0
        if seen.behind_s > bounds.behind_s * CALM_SHARE:
            self._calm.clear()
        if too_late:
            why = f"{seen.behind_s:.0f} s behind"
            if shards == bounds.most:
                return Decision(shards, f"{why}, and {bounds.most} is the most")
            if self._late < LATE_LOOKS or now < self._settled_at:
                return Decision(shards, why)
            came_back = now - self._taken_at < RECENT_CALMS * self._patience * bounds.calm_s
            self._patience = min(MOST_PATIENCE, 2 * self._patience) if came_back else 1.0
            return self._changed(now, shards + 1, why)
        return self._when_calm(now, shards, seen)

    def _when_calm(self, now: float, shards: int, seen: Seen) -> Decision:
        if seen.behind_s > self._bounds.behind_s * CALM_SHARE:
            return Decision(shards, "keeps up")
        if self._calm and seen.worked_s < self._calm[-1][1]:
            self._calm.clear()  # a shard was replaced, and counts anew
        self._calm.append((now, seen.worked_s))
        since, worked_s = self._calm[0]
        calm_s = now - since
        if shards == self._bounds.least or calm_s < self._patience * self._bounds.calm_s:
            return Decision(shards, "keeps up")
        busy = (seen.worked_s - worked_s) / calm_s
        if busy > SPARE * (shards - 1):
            self._calm.popleft()
            return Decision(shards, f"keeps up, with the work of {busy:.1f} shards")
        self._taken_at = now
        return self._changed(now, shards - 1, f"calm for {calm_s:.0f} s, with the work of {busy:.1f} shards")

    def _changed(self, now: float, shards: int, why: str) -> Decision:
        self._late, self._settled_at = 0, now + SETTLE_S
        self._calm.clear()
        return Decision(shards, why)
