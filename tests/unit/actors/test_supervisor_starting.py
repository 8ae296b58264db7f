"""What should run is started in order, on a fake Ray and a fake clock."""

from __future__ import annotations

from actors.supervisor import START_TIMEOUT_S
from tests.unit.actors.fake_ray import FakeRay, analyzer, consumer, row, running, steps, supervise


def test_actors_are_made_started_and_then_run(ray: FakeRay) -> None:
    supervisor = supervise(ray, consumer("a"), consumer("b"))
    assert {row["status"] for row in supervisor.status()} == {"stopped"}
    supervisor.step()
    assert {row["status"] for row in supervisor.status()} == {"starting"}
    assert not supervisor.all_running()
    supervisor.step()
    assert supervisor.all_running()
    assert ray.created == ["a", "b"]
    assert ray.log[:2] == ["start a", "start b"]


def test_a_later_stage_waits_until_all_of_the_earlier_one_runs(ray: FakeRay) -> None:
    ray.hanging = {("technical/1", "start")}
    supervisor = supervise(ray, consumer("storage"), analyzer("technical/0"), analyzer("technical/1"))
    steps(ray, supervisor, 20)
    assert ray.created == ["technical/0", "technical/1"]
    ray.finish(ray.processes["technical/1"].calls[0])
    steps(ray, supervisor, 2)
    assert ray.created == ["technical/0", "technical/1", "storage"]
    assert supervisor.all_running()


def test_an_actor_of_the_first_stage_that_dies_later_does_not_hold_up_the_others(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("storage"), analyzer("technical"))
    ray.hanging = {("technical", "start")}
    ray.processes["technical"].alive = False
    ray.processes["storage"].alive = False
    steps(ray, supervisor, 5)
    assert row(supervisor, "technical")["status"] == "starting"
    assert row(supervisor, "storage")["status"] == "running"


def test_a_start_may_take_minutes_and_not_longer(ray: FakeRay) -> None:
    ray.hanging = {("a", "start")}
    supervisor = supervise(ray, consumer("a"))
    steps(ray, supervisor, START_TIMEOUT_S - 1, every=1)
    assert ray.killed == []
    steps(ray, supervisor, 3, every=1)
    assert ray.killed == ["a"]
    assert "start" in row(supervisor, "a")["error"]


def test_an_actor_that_was_given_up_does_not_hold_up_the_next_stage(ray: FakeRay) -> None:
    ray.failing["sentiment", "start"] = lambda: RuntimeError("bad model")
    supervisor = supervise(ray, analyzer("sentiment"), consumer("a"))
    steps(ray, supervisor, 600)
    assert row(supervisor, "a")["status"] == "running"


def test_a_name_that_is_not_free_yet_is_tried_again(ray: FakeRay) -> None:
    ray.taken = {"a"}
    supervisor = supervise(ray, consumer("a"), consumer("b"))
    steps(ray, supervisor, 5)
    assert ray.created == ["b"]
    ray.taken = set()
    steps(ray, supervisor, 2)
    assert supervisor.all_running()
    assert row(supervisor, "a")["restarts"] == 0
