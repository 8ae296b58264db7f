"""GPUs that come and go, on a fake clock."""

from __future__ import annotations

from typing import Any

import pytest

from actors.gpu_watch import LOST_S, ON_CPU, SETTLE_S, STARTING, GpuWatch

NODE = {"a": 1.0}


class World:
    """A watch that looks once a second at the cluster's GPUs and at one analyzer."""

    def __init__(self, gpus: dict[str, float]) -> None:
        self.now = 1_000.0
        self.gpus = gpus
        self.watch = GpuWatch(lambda: self.now)
        self.analyzer = row("sentiment/0", on_gpu=bool(gpus))
        assert not self.watch.look(gpus, [])

    def plans(self, seconds: float) -> int:
        """Return how many new plans were due within so many seconds."""
        due = 0
        for _ in range(round(seconds)):
            self.now += 1.0
            due += self.watch.look(self.gpus, [self.analyzer])
        return due

    def seats(self) -> dict[str, str]:
        return self.watch.seats([self.analyzer])


def row(name: str, on_gpu: bool, status: str = "running", node: str = "a", **more: Any) -> dict[str, Any]:
    known = {"node_id": node} if status == "running" else {}
    return {
        "name": name,
        "status": status,
        "num_gpus": 0.25 if on_gpu else 0.0,
        "on_gpu": on_gpu,
        "waits_for_node": False,
        **known,
        **more,
    }


def settled(gpus: dict[str, float]) -> World:
    world = World(gpus)
    assert world.plans(SETTLE_S + 1) == 1
    return world


def test_nothing_changes_nothing() -> None:
    assert settled(NODE).plans(10 * SETTLE_S) == 0
    assert settled({}).plans(10 * SETTLE_S) == 0


@pytest.mark.parametrize("left", [{}, {"a": 1.0}, {"a": 1.0, "b": 1.0, "new": 8.0}])
def test_gpus_that_are_lost_are_planned_without(
    left: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    world = settled({"a": 1.0, "b": 2.0})
    world.gpus = left
    assert world.plans(LOST_S) == 0
    assert world.plans(1) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"GPUs of this Ray cluster are lost; those that are left: {sum(left.values()):g}"
    ]
    assert world.plans(SETTLE_S - LOST_S - 1) == 0


def test_gpus_that_come_are_used_by_who_is_on_a_cpu_when_they_stay() -> None:
    world = settled({})
    world.gpus = NODE
    assert world.plans(SETTLE_S) == 0
    assert world.seats() == {"sentiment/0": ON_CPU}
    assert world.plans(1) == 1
    assert world.seats() == {}
    world.analyzer = row("sentiment/0", on_gpu=True)
    assert world.plans(10 * SETTLE_S) == 0
    assert world.seats() == {"sentiment/0": "a"}


def test_a_node_that_comes_and_goes_moves_nobody() -> None:
    world = settled({})
    for _ in range(20):
        world.gpus = NODE
        assert world.plans(SETTLE_S - 1) == 0
        world.gpus = {}
        assert world.plans(SETTLE_S / 2) == 1
        assert world.seats() == {"sentiment/0": ON_CPU}


def test_a_node_that_is_away_for_a_moment_moves_nobody() -> None:
    world = settled(NODE)
    world.gpus = {}
    assert world.plans(LOST_S - 1) == 0
    world.gpus = NODE
    assert world.plans(LOST_S + 1) == 1
    assert world.seats() == {"sentiment/0": "a"}


def test_who_starts_on_a_gpu_is_told_from_who_is_new() -> None:
    world = World(NODE)
    for status in ("starting", "faulted"):
        world.analyzer = row("sentiment/0", True, status)
        assert world.seats() == {"sentiment/0": STARTING}
        world.analyzer = row("sentiment/0", False, status)
        assert world.seats() == {}


def test_who_waits_for_a_gpu_in_vain_is_put_on_a_cpu_until_the_gpus_have_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = settled(NODE)
    world.analyzer = row("sentiment/0", on_gpu=True, status="starting", waits_for_node=True)
    assert world.plans(20) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "sentiment/0 found no node with a GPU to spare; on a CPU instead"
    ]
    assert world.seats() == {"sentiment/0": ON_CPU}
    world.analyzer = row("sentiment/0", on_gpu=False)
    assert world.plans(10 * SETTLE_S) == 0
    assert world.seats() == {"sentiment/0": ON_CPU}
    world.gpus = {"a": 1.0, "b": 1.0}
    assert world.plans(SETTLE_S) == 0
    assert world.seats() == {"sentiment/0": ON_CPU}
    assert world.plans(1) == 1
    assert world.seats() == {}


def test_who_is_wanted_no_more_is_forgotten() -> None:
    world = settled(NODE)
    world.analyzer = row("sentiment/1", on_gpu=True, status="starting", waits_for_node=True)
    assert world.plans(1) == 1
    world.analyzer = row("sentiment/0", on_gpu=True)
    assert world.plans(1) == 0
    world.analyzer = row("sentiment/1", on_gpu=False, status="starting")
    assert world.seats() == {}
