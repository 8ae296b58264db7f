"""The schedule of a storm."""

from __future__ import annotations

from collections import Counter

import pytest

from vnpulse.chaos.faults import WEIGHTS, Fault, schedule


def test_a_seed_repeats_its_schedule() -> None:
    assert schedule(50, 7) == schedule(50, 7)
    assert schedule(50, 7) != schedule(50, 8)


@pytest.mark.parametrize("kills", [0, 1, 5, 200])
def test_there_are_as_many_faults_as_asked_for(kills: int) -> None:
    assert len(schedule(kills, 1)) == kills


def test_every_kind_comes_before_any_comes_twice() -> None:
    assert {planned.fault for planned in schedule(len(Fault), 3)} == set(Fault) == set(WEIGHTS)


def test_some_strike_before_the_last_one_has_healed_but_not_the_first() -> None:
    plans = [schedule(40, seed) for seed in range(10)]
    assert not any(plan[0].together for plan in plans)
    assert 0.2 < sum(planned.together for plan in plans for planned in plan) / 400 < 0.4


def test_only_what_is_asked_for_comes() -> None:
    counts = Counter(planned.fault for planned in schedule(30, 1, [Fault.KILL_STORE, Fault.KILL_BROKER]))
    assert counts.keys() == {Fault.KILL_STORE, Fault.KILL_BROKER}
