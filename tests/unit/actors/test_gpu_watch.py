"""GPUs that come and go, on a fake clock."""

from __future__ import annotations

from typing import Any

import pytest

from actors.gpu_watch import LOST_S, ON_CPU, SETTLE_S, STARTING, GpuWatch

NODE = {"a": 1.0}


class Rooms:
    """The port, as far as it is about room: asked for, there or not, silent or not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.there = False
        self.silent = False

    def reserve(self, spec: Any) -> Any:
        self.asked.append(spec)
        return spec

    def ask_room(self, room: Any) -> Any:
        assert room in self.asked
        return "asked"

    def is_done(self, pending: Any) -> bool:
        return not self.silent

    def answer(self, pending: Any, timeout_s: float) -> bool:
        return self.there

    def release(self, room: Any) -> None:
        self.asked.remove(room)


class World:
    """A watch that looks once a second at the cluster's GPUs and at one analyzer."""

    def __init__(self, gpus: dict[str, float]) -> None:
        self.now = 1_000.0
        self.gpus = gpus
        self.rooms = Rooms()
        self.watch = GpuWatch(self.rooms, lambda: self.now)  # type: ignore[arg-type]
        self.analyzer = row("sentiment/0", on_gpu=bool(gpus))
        assert not self.watch.look(gpus, self)

    def status(self) -> list[dict[str, Any]]:
        return [self.analyzer]

    def spec(self, name: str) -> Any:
        assert name == self.analyzer["name"]
        return f"{name} on a GPU" if self.analyzer["num_gpus"] else name

    def plans(self, seconds: float) -> int:
        """Return how many new plans were due within so many seconds."""
        due = 0
        for _ in range(round(seconds)):
            self.now += 1.0
            due += self.watch.look(self.gpus, self)
        return due

    def seats(self) -> dict[str, str]:
        return self.watch.seats(self.status())


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


def in_vain() -> World:
    """One whose analyzer found no GPU to spare, and is on a CPU."""
    world = settled(NODE)
    world.analyzer = row("sentiment/0", on_gpu=True, status="starting", waits_for_node=True)
    assert world.plans(1) == 1
    world.analyzer = row("sentiment/0", on_gpu=False)
    assert world.plans(10 * SETTLE_S) == 0
    assert world.seats() == {"sentiment/0": ON_CPU}
    return world


def test_who_waits_for_a_gpu_in_vain_is_put_on_a_cpu(caplog: pytest.LogCaptureFixture) -> None:
    in_vain()
    assert [record.getMessage() for record in caplog.records] == [
        "sentiment/0 found no node with a GPU to spare; on a CPU until there is one"
    ]


def test_who_waited_for_a_gpu_in_vain_gets_one_when_there_is_room_on_one() -> None:
    world = in_vain()
    assert world.rooms.asked == ["sentiment/0 on a GPU"]
    world.rooms.silent = True
    world.rooms.there = True
    assert world.plans(10) == 0
    world.rooms.silent = False
    assert world.plans(1) == 1
    assert world.seats() == {}
    assert world.rooms.asked == []
    world.analyzer = row("sentiment/0", on_gpu=True)
    assert world.plans(10) == 0


def test_who_waited_for_a_gpu_in_vain_gets_one_of_those_that_come() -> None:
    world = in_vain()
    world.gpus = {"a": 1.0, "b": 1.0}
    world.rooms.there = True
    assert world.plans(SETTLE_S) == 0
    assert world.seats() == {"sentiment/0": ON_CPU}
    assert world.plans(1) == 1
    assert world.seats() == {}
    assert world.rooms.asked == []


def test_no_room_is_wanted_any_more_at_the_end() -> None:
    world = in_vain()
    world.watch.close()
    assert world.rooms.asked == []


def test_who_is_wanted_no_more_is_forgotten() -> None:
    world = settled(NODE)
    world.analyzer = row("sentiment/1", on_gpu=True, status="starting", waits_for_node=True)
    assert world.plans(1) == 1
    world.analyzer = row("sentiment/0", on_gpu=True)
    assert world.plans(1) == 0
    world.analyzer = row("sentiment/1", on_gpu=False, status="starting")
    assert world.seats() == {}
    assert world.rooms.asked == []
