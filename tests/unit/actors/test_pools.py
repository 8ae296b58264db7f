"""Shards that come and go, on a fake Ray, a fake store and a fake clock."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from actors.autoscaler import LATE_LOOKS, SETTLE_S
from actors.pools import (
    HOLD_S,
    NODE_WITHIN_S,
    RELEASE_S,
    RETRY_S,
    STILL_LATE_S,
    AnalyzerPools,
)
from actors.ray_port import ActorGone, ActorSpec
from vnpulse.placement import PlacementSettings
from vnpulse.store.control import PoolState

ROOM_S = HOLD_S + 2
"""From when a shard more is wanted until it is made, where there is room: asked, there, held."""

AUTOSCALED = {"shards": 1, "autoscale": {"max": 3, "behind_s": 10, "calm_s": 60}}


class World:
    """Actors that run as soon as they are wanted unless ``failing``, and answer unless ``slow``."""

    def __init__(
        self, by_hand: dict[str, int] | None = None, running: bool = False, **placement: Any
    ) -> None:
        self.now = 1_000.0
        self.pools_of: dict[str, dict[str, int]] = {}
        self.failing: set[str] = set()
        self.slow = False
        self.error: Exception | None = None
        self.room = True
        self.silent = False
        self.rooms: list[ActorSpec] = []
        self.waiting: set[str] = set()
        self.behind: dict[str, float] = {"technical": 0.0, "sentiment": 0.0}
        self.with_analysis = True
        self.failing_since_s = 0.0
        self.worked = 0.0
        self.calls: list[tuple[str, str, int, int]] = []
        self.placement = PlacementSettings(**placement)
        self.by_hand = by_hand or {}
        self.pools = self.begin([])

    def begin(self, running: list[str]) -> AnalyzerPools:
        return AnalyzerPools(
            self, self, self.placement, {"technical": 10}, lambda: self.now, self.by_hand, running
        )

    # The store
    def pool(self, kind: str) -> PoolState | None:
        found = self.pools_of.get(kind)
        return PoolState(found["serving"], found["wanted"]) if found else None

    def serve(self, kind: str, shards: int) -> None:
        self.pools_of.setdefault(kind, {})["serving"] = shards

    def want(self, kind: str, shards: int) -> None:
        self.pools_of.setdefault(kind, {})["wanted"] = shards

    # Ray
    def reserve(self, spec: ActorSpec) -> ActorSpec:
        self.rooms.append(spec)
        return spec

    def ask_room(self, room: ActorSpec) -> str:
        return "room"

    def release(self, room: ActorSpec) -> None:
        self.rooms.remove(room)

    def call(self, handle: str, method: str, *numbers: int) -> Any:
        self.calls.append((handle, method, *numbers))  # type: ignore[arg-type]
        return "pending"

    def is_done(self, pending: Any) -> bool:
        return not (self.silent if pending == "room" else self.slow)

    def answer(self, pending: Any, timeout_s: float) -> Any:
        if pending == "room":
            return self.room
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return None

    def __getattr__(self, name: str) -> Any:  # create, find, names, kill: not called
        raise AttributeError(name)

    # The supervisor
    def status(self) -> list[dict[str, Any]]:
        shards = [
            {
                "name": name,
                "status": self._status(name),
                "gave_up": False,
                "waits_for_node": name in self.waiting,
                "error": "no such luck" if name in self.failing else "",
                "worked_s": self.worked,
            }
            for kind, number in self.pools.numbers().items()
            for name in (f"{kind}/{n}" for n in range(number))
        ]
        analysis = {
            "name": "analysis/t/0",
            "status": "running",
            "gave_up": False,
            "behind_s": self.behind,
            "failing_since_s": self.failing_since_s,
        }
        return [*shards, *([analysis] if self.with_analysis else [])]

    def _status(self, name: str) -> str:
        if name in self.failing:
            return "faulted"
        return "starting" if name in self.waiting else "running"

    def handle(self, name: str) -> str:
        return name

    def spec(self, name: str) -> ActorSpec:
        return ActorSpec(name, object, (), stage=0, drain_rank=0, num_cpus=1.0, num_gpus=0.25)

    # Time
    def steps(self, seconds: float) -> list[int]:
        """Step once a second; return how many technical shards ran after each."""
        seen = []
        for _ in range(int(seconds)):
            self.now += 1.0
            before = self.pools.numbers()
            assert self.pools.step(self) == (self.pools.numbers() != before)
            seen.append(self.pools.numbers()["technical"])
        return seen

    def row(self) -> dict[str, Any]:
        return next(row for row in self.pools.status() if row["pool"] == "technical")


def test_a_new_deployment_serves_with_what_the_settings_say() -> None:
    world = World(technical={"shards": 3})
    assert world.pools.numbers() == {"technical": 3, "sentiment": 1}
    assert world.pool("technical") == (3, 3)
    assert world.steps(30) == [3] * 30
    assert world.row()["why"] == "the settings"


def test_more_shards_than_partitions_are_never_made() -> None:
    assert World(technical={"shards": 64}).pools.numbers()["technical"] == 10
    assert World({"technical": 64}).pools.numbers()["technical"] == 10


def test_a_backlog_brings_a_shard_which_is_called_when_it_runs() -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"] = 12.0
    assert world.steps(LATE_LOOKS + ROOM_S - 1)[-2:] == [1, 2]
    assert world.rooms == []
    assert world.pool("technical") == (1, 2)
    assert world.row()["why"] == "12 s behind"
    world.steps(1)
    assert world.pool("technical") == (2, 2)
    assert world.calls == [("technical/0", "prepare", 1, 2), ("technical/1", "prepare", 1, 2)]
    assert world.pools.numbers()["sentiment"] == 1


def test_fewer_are_called_when_those_that_stay_have_loaded_and_end_a_little_later() -> None:
    world = World({"technical": 3})
    world.pools.by_hand, world.slow = {"technical": 2}, True
    world.steps(20)
    assert world.pool("technical") == (3, 2)
    assert world.calls == [("technical/0", "prepare", 3, 2), ("technical/1", "prepare", 3, 2)]
    world.slow = False
    assert world.steps(1) == [3]
    assert world.pool("technical") == (2, 2)
    assert world.steps(RELEASE_S - 1) == [3] * int(RELEASE_S - 1)
    assert world.steps(1) == [2]


def test_a_shard_that_cannot_take_over_is_asked_again() -> None:
    world = World({"technical": 2})
    world.pools.by_hand, world.error = {"technical": 1}, ActorGone("technical/0")
    world.steps(2)
    assert world.pool("technical") == (2, 1)
    world.steps(1)
    assert world.pool("technical") == (1, 1)
    assert world.calls == [("technical/0", "prepare", 2, 1)] * 2


def test_a_number_set_by_hand_goes_before_the_backlog_until_it_is_taken_back() -> None:
    world = World({"technical": 2}, technical=AUTOSCALED)
    world.behind["technical"] = 100.0
    assert set(world.steps(200)) == {2}
    assert (world.row()["by_hand"], world.row()["why"]) == (True, "set by hand")
    world.pools.by_hand = {}
    assert world.steps(100)[-1] == 3
    assert not world.row()["by_hand"]


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what was said aloud."""
    return [(r.levelno, r.getMessage()) for r in caplog.records if r.levelno >= logging.WARNING]


WAITS = "technical: 30 s behind, and no node has room for another shard (1 CPU, 0.25 GPU); "


def test_a_shard_without_room_is_asked_for_and_made_when_there_is(caplog: pytest.LogCaptureFixture) -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"], world.room = 30.0, False
    assert set(world.steps(300)) == {1}
    assert world.rooms == [world.spec("technical/0")]
    assert said(caplog) == [(logging.WARNING, f"{WAITS}Ray is asked for one")]
    assert world.row()["why"] in said(caplog)[0][1]
    assert world.row()["serving"] == 1
    world.room = True
    assert world.steps(ROOM_S)[-1] == 2
    assert world.rooms == []
    world.steps(1)
    assert world.row()["serving"] == 2


def test_a_node_that_does_not_come_is_asked_for_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"], world.room = 30.0, False
    world.steps(LATE_LOOKS + NODE_WITHIN_S + 1)
    assert world.rooms == []
    assert said(caplog)[-1] == (logging.ERROR, f"{WAITS.removesuffix('; ')}; none came within 15 minutes")
    world.steps(RETRY_S - 1)
    assert world.rooms == []
    world.steps(LATE_LOOKS + 1)
    assert len(world.rooms) == 1


def test_a_silent_head_of_ray_is_waited_for() -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"], world.silent = 30.0, True
    assert set(world.steps(2 * NODE_WITHIN_S)) == {1}
    assert len(world.rooms) == 1, "there may be room or not: nobody knows"
    world.silent = False
    assert world.steps(ROOM_S)[-1] == 2


def test_the_demand_ends_with_the_backlog_an_outage_a_number_by_hand_and_the_supervisor() -> None:
    def asking() -> World:
        world = World(technical=AUTOSCALED)
        world.behind["technical"], world.room = 30.0, False
        world.steps(LATE_LOOKS)
        assert len(world.rooms) == 1
        return world

    world = asking()
    world.behind["technical"] = 0.0
    world.steps(STILL_LATE_S)
    assert len(world.rooms) == 1
    world.steps(1)
    assert (world.rooms, world.row()["why"]) == ([], "keeps up")

    world = asking()
    world.failing_since_s = 1.0
    world.steps(1)
    assert world.rooms == []

    for number in (1, 2):
        world = asking()
        world.pools.by_hand = {"technical": number}
        world.steps(1)
        assert world.rooms == []

    world = asking()
    world.pools.close()
    assert world.rooms == []


def test_who_has_died_gets_its_room_back() -> None:
    """Its death is noticed while the room that it has left is held."""
    world = World(technical=AUTOSCALED)
    world.behind["technical"] = 30.0
    world.steps(LATE_LOOKS + ROOM_S - 2)
    assert len(world.rooms) == 1
    world.failing = {"sentiment/0"}
    assert world.steps(1)[-1] == 1
    assert world.rooms == []
    world.failing = set()
    assert world.steps(100)[-1] == 3


def test_a_shard_whose_room_others_took_gives_way_and_asks_again() -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"] = 30.0
    world.steps(LATE_LOOKS + ROOM_S - 1)
    world.waiting, world.room = {"technical/1"}, False
    assert world.steps(1)[-1] == 1
    assert world.row()["why"] == "others took the room of another shard"
    world.steps(SETTLE_S)
    assert len(world.rooms) == 1


def test_shards_that_were_set_by_hand_wait_for_their_nodes() -> None:
    world = World()
    world.pools.by_hand, world.waiting = {"technical": 4}, {"technical/3"}
    assert set(world.steps(1_000)) == {4}
    assert world.row()["serving"] == 1
    world.waiting = set()
    world.steps(2)
    assert world.row()["serving"] == 4


def test_a_shard_that_does_not_come_to_run_is_given_up_for_a_while() -> None:
    world = World(technical=AUTOSCALED)
    world.failing, world.behind["technical"] = {"technical/1"}, 30.0
    seen = world.steps(RETRY_S / 2)
    assert max(seen) == 2
    assert seen[-1] == 1
    assert world.pool("technical") == (1, 1)
    assert "technical/1 did not come to run: no such luck" in world.row()["why"]


def test_a_new_supervisor_goes_on_where_the_last_one_was() -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"] = 30.0
    world.steps(LATE_LOOKS + ROOM_S - 1)
    assert world.pool("technical") == (1, 2)
    world.pools = world.begin(["technical/0", "technical/1"])
    assert world.pools.numbers()["technical"] == 2
    world.steps(1)
    assert world.pool("technical") == (2, 2)
    # Where nothing runs any more there is nothing to hand over.
    world.pools = world.begin([])
    assert world.pool("technical") == (1, 1)


def test_a_supervisor_without_analysis_follows_the_one_that_has_it() -> None:
    world = World(technical=AUTOSCALED)
    world.with_analysis, world.behind["technical"] = False, 100.0
    assert set(world.steps(60)) == {1}
    world.want("technical", 2)
    assert world.steps(2)[-1] == 2


def test_an_outage_is_no_backlog() -> None:
    world = World(technical=AUTOSCALED)
    world.behind["technical"], world.failing_since_s = 100.0, 1.0
    assert set(world.steps(60)) == {1}
    world.failing_since_s = 0.0
    assert world.steps(LATE_LOOKS + ROOM_S)[-1] == 2
