"""When a pool gets one shard more, or one fewer; without Ray, in a time of the test's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from actors.autoscaler import LATE_LOOKS, SETTLE_S, Autoscaler, Bounds, Seen

BOUNDS = Bounds(least=1, most=4, behind_s=10.0, calm_s=60.0)


class Pool:
    """A pool that gets ``load(t)`` seconds of work a second; a shard does one second of work a second."""

    def __init__(self, load: Callable[[float], float], bounds: Bounds = BOUNDS, shards: int = 1) -> None:
        self.load, self.shards, self.now, self.backlog, self.worked = load, shards, 0.0, 0.0, 0.0
        self.autoscaler = Autoscaler(bounds)
        self.changes: list[tuple[float, int, str]] = []

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 1.0
            wanted = self.backlog + self.load(self.now)
            done = min(wanted, float(self.shards))
            self.backlog, self.worked = wanted - done, self.worked + done
            seen = Seen(self.backlog / max(self.load(self.now), 0.1), self.worked)
            decision = self.autoscaler.look(self.now, self.shards, seen)
            assert decision.why
            if decision.shards != self.shards:
                self.changes.append((self.now, decision.shards, decision.why))
                self.shards = decision.shards


def test_who_keeps_up_is_left_alone() -> None:
    pool = Pool(lambda _: 0.8)
    pool.run(1_000)
    assert pool.changes == []


def test_a_pool_that_stays_late_gets_as_many_as_it_needs_one_after_the_other() -> None:
    pool = Pool(lambda _: 2.5)
    pool.run(400)
    assert [shards for _, shards, _ in pool.changes] == [2, 3, 4]
    assert "s behind" in pool.changes[0][2]
    assert all(later[0] - earlier[0] >= SETTLE_S for earlier, later in pairwise(pool.changes))
    assert pool.backlog == 0


def test_a_late_moment_changes_nothing() -> None:
    autoscaler = Autoscaler(BOUNDS)
    for now in range(200):
        late = now % LATE_LOOKS != 0
        assert autoscaler.look(float(now), 1, Seen(11.0 if late else 0.0, 0.0)).shards == 1


def test_the_most_is_the_most_and_it_says_so() -> None:
    pool = Pool(lambda _: 9.0)
    pool.run(500)
    assert pool.shards == 4
    assert "4 is the most" in pool.autoscaler.look(pool.now + 1, 4, Seen(500.0, pool.worked)).why


def test_after_the_load_is_gone_it_shrinks_slowly_to_the_least() -> None:
    pool = Pool(lambda now: 2.5 if now < 300 else 0.1)
    pool.run(300)
    grown = len(pool.changes)
    pool.run(600)
    assert [shards for _, shards, _ in pool.changes[grown:]] == [3, 2, 1]
    times = [now for now, _, _ in pool.changes[grown:]]
    assert all(later - earlier >= BOUNDS.calm_s for earlier, later in pairwise(times))
    assert "calm for" in pool.changes[-1][2]


def test_what_is_calm_only_because_all_of_them_work_stays() -> None:
    pool = Pool(lambda _: 1.9, shards=3)
    pool.run(2_000)
    assert pool.changes == []


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_flap(seed: int) -> None:
    chosen = random.Random(seed)
    level = 0.0

    def load(now: float) -> float:
        nonlocal level
        if now % 30 == 0:
            level = chosen.uniform(0, 2.5)
        return level

    pool = Pool(load)
    pool.run(3_600)
    # A whole hour of load that jumps between nothing and what 2.5 shards do.
    assert len(pool.changes) < 20
    for (before, at, _), (after, then, _) in pairwise(pool.changes):
        if then < at:
            assert after - before >= BOUNDS.calm_s


def test_a_number_outside_the_bounds_is_brought_inside() -> None:
    assert Autoscaler(BOUNDS).look(0.0, 9, Seen(0.0, 0.0)).shards == 4
    assert Autoscaler(BOUNDS._replace(least=2)).look(0.0, 1, Seen(0.0, 0.0)).shards == 2


def test_work_that_is_counted_anew_is_no_negative_work() -> None:
    autoscaler = Autoscaler(BOUNDS)
    for now in range(50):
        autoscaler.look(float(now), 2, Seen(0.0, 1_000.0 + 2 * now))
    decisions = [autoscaler.look(50.0 + now, 2, Seen(0.0, 2.0 * now)).shards for now in range(100)]
    assert set(decisions) == {2}
