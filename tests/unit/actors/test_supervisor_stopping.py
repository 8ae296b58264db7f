"""Everything is stopped in order, on a fake Ray and a fake clock."""

from __future__ import annotations

from tests.unit.actors.fake_ray import FakeRay, analyzer, consumer, running, supervise


def test_shared_actors_are_used_and_spared_when_others_need_them(ray: FakeRay) -> None:
    theirs = ray.create(analyzer("technical"))
    ray.created.clear()
    supervisor = running(ray, analyzer("technical"), consumer("a"))
    assert ray.created == ["a"]
    supervisor.stop(spare_shared=True)
    assert theirs.alive
    assert ray.killed == ["a"]


def test_the_last_one_to_stop_ends_shared_actors(ray: FakeRay) -> None:
    theirs = ray.create(analyzer("technical"))
    running(ray, analyzer("technical"), consumer("a")).stop()
    assert not theirs.alive


def test_stopping_goes_by_rank_and_within_a_rank_at_once(ray: FakeRay) -> None:
    specs = [
        consumer("notify", 3), consumer("store/1", 0), consumer("store/2", 0), analyzer("technical"),
        consumer("aggregate", 2),
    ]  # fmt: skip
    supervisor = running(ray, *specs)
    ray.log.clear()
    assert supervisor.stop() == []
    assert ray.log == [
        "stop store/1", "stop store/2", "answered stop store/1", "answered stop store/2",
        "kill store/1", "kill store/2",
        "stop aggregate", "answered stop aggregate", "kill aggregate",
        "stop notify", "answered stop notify", "kill notify",
        "stop technical", "answered stop technical", "kill technical",
    ]  # fmt: skip
    assert {row["status"] for row in supervisor.status()} == {"stopped"}


def test_stopping_names_who_did_not_finish_and_ends_it_all_the_same(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("slow"), consumer("late"), consumer("dead", 1), consumer("good", 2))
    ray.hanging = {("slow", "stop")}
    ray.answers["late", "stop"] = False
    ray.processes["dead"].alive = False
    assert supervisor.stop(1.0) == ["slow", "late", "dead"]
    assert set(ray.killed) >= {"slow", "late", "good"}


def test_stopping_before_anything_was_started_does_nothing(ray: FakeRay) -> None:
    supervisor = supervise(ray, consumer("a"))
    assert supervisor.stop() == []
    assert ray.log == []


def test_an_actor_that_cannot_be_asked_to_stop_does_not_keep_the_others_from_stopping(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"), consumer("c", 1))
    ray.broken = {"a": {"call"}}
    assert "a" in supervisor.stop()
    assert {"b", "c"} <= set(ray.killed)
