"""What runs is taken over, drained and replaced by another version, on a fake Ray and a fake clock."""

from __future__ import annotations

from actors.supervisor import PROBE_TIMEOUT_S, PROBES_FAILED_LIMIT, STOP_TIMEOUT_S
from tests.unit.actors.fake_ray import FakeRay, analyzer, consumer, row, running, steps, supervise


def test_a_new_supervisor_leaves_what_runs_in_peace(ray: FakeRay) -> None:
    running(ray, consumer("a"), consumer("b"))
    ray.created.clear()
    supervisor = running(ray, consumer("a"), consumer("b"), consumer("c"))
    assert ray.created == ["c"]
    assert ray.killed == []
    assert not [line for line in ray.log if line.startswith("stop")]
    assert row(supervisor, "a")["restarts"] == 0


def test_an_actor_that_was_made_and_never_started_is_started(ray: FakeRay) -> None:
    """Its supervisor died between the two."""
    ray.create(consumer("a"))
    ray.answers["a", "health"] = {"alive": False, "error": ""}
    supervisor = supervise(ray, consumer("a"))
    supervisor.step()
    supervisor.step()
    ray.answers.clear()
    steps(ray, supervisor, 3)
    assert "start a" in ray.log
    assert supervisor.all_running()
    assert ray.created == ["a"]


def test_an_actor_of_another_version_that_had_ended_already_is_replaced(ray: FakeRay) -> None:
    """Its supervisor died when it had finished its work and before it was ended."""
    ray.create(consumer("a", version="1"))
    ray.answers["a", "health"] = {"alive": False, "error": "", "version": "1"}
    supervisor = supervise(ray, consumer("a", version="2"))
    steps(ray, supervisor, 1)
    ray.answers.clear()
    steps(ray, supervisor, 10)
    assert supervisor.all_running()
    assert ray.processes["a"].version == "2"


def test_who_could_not_be_killed_is_found_again_and_lives_on(ray: FakeRay) -> None:
    """The supervisor was cut off: all that did not answer it are well."""
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.unkillable = True
    ray.hanging = {("a", "health"), ("b", "health")}
    steps(ray, supervisor, PROBE_TIMEOUT_S * (PROBES_FAILED_LIMIT + 2))
    assert {row(supervisor, name)["restarts"] for name in ("a", "b")} == {1}
    ray.hanging = set()
    steps(ray, supervisor, PROBE_TIMEOUT_S * 2)
    assert supervisor.all_running()
    assert ray.created == ["a", "b"]


def test_an_actor_found_hanging_is_replaced(ray: FakeRay) -> None:
    ray.create(consumer("a"))
    ray.hanging = {("a", "health")}
    supervisor = supervise(ray, consumer("a"))
    steps(ray, supervisor, PROBE_TIMEOUT_S * (PROBES_FAILED_LIMIT + 1))
    assert ray.killed == ["a"]
    ray.hanging = set()
    steps(ray, supervisor, 5)
    assert supervisor.all_running()


def test_actors_of_another_version_are_drained_and_replaced_one_by_one(ray: FakeRay) -> None:
    names = ["a", "b", "c"]
    running(ray, *(consumer(name, version="1") for name in names))
    ray.log.clear()
    supervisor = supervise(ray, *(consumer(name, version="2") for name in names))
    steps(ray, supervisor, 30)
    assert supervisor.all_running()
    lines = [line.split() for line in ray.log if not line.startswith(("health", "answered"))]
    assert [verb for verb, _ in lines] == ["stop", "kill", "start"] * 3
    turns = [name for _, name in lines]
    assert [turns[i : i + 3] for i in (0, 3, 6)] == [[name] * 3 for name in turns[::3]]
    assert sorted(turns[::3]) == names
    assert {process.version for process in ray.processes.values()} == {"2"}


def test_an_actor_of_another_version_that_does_not_finish_is_ended_after_its_time(ray: FakeRay) -> None:
    running(ray, consumer("a", version="1"))
    ray.hanging = {("a", "stop")}
    supervisor = supervise(ray, consumer("a", version="2"))
    steps(ray, supervisor, STOP_TIMEOUT_S)
    assert ray.killed == []
    assert row(supervisor, "a")["status"] == "draining"
    steps(ray, supervisor, 15)
    assert ray.killed == ["a"]
    assert supervisor.all_running()


def test_who_is_wanted_no_more_is_drained_before_others_take_its_place(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a/0-9"), consumer("other", 1))
    ray.log.clear()
    ray.hanging = {("a/0-9", "stop")}
    supervisor.reconcile([consumer("a/0-4"), consumer("a/5-9"), consumer("other", 1)])
    steps(ray, supervisor, 5)
    assert ray.names() == ["a/0-9", "other"]
    assert not supervisor.all_running()
    ray.finish(ray.processes["a/0-9"].calls[-1])
    steps(ray, supervisor, 5)
    assert ray.names() == ["a/0-4", "a/5-9", "other"]
    assert supervisor.all_running()
    assert {row["name"] for row in supervisor.status()} == {"a/0-4", "a/5-9", "other"}
    assert "stop other" not in ray.log


def test_what_an_earlier_supervisor_left_and_nobody_wants_is_drained(ray: FakeRay) -> None:
    running(ray, consumer("a/0-4"), consumer("a/5-9"))
    supervisor = supervise(ray)
    supervisor.reconcile([consumer("a/0-9")], strays=[consumer("a/0-4"), consumer("a/5-9"), consumer("gone")])
    steps(ray, supervisor, 5)
    assert ray.names() == ["a/0-9"]
    assert {"stop a/0-4", "stop a/5-9"} <= set(ray.log)


def test_a_wanted_actor_that_nobody_stopped_wanting_is_no_stray(ray: FakeRay) -> None:
    running(ray, consumer("a"))
    supervisor = supervise(ray)
    supervisor.reconcile([consumer("a")], strays=[consumer("a")])
    steps(ray, supervisor, 5)
    assert supervisor.all_running()
    assert ray.killed == []


def test_of_two_supervisors_that_make_a_shared_actor_the_slower_uses_the_other_s(ray: FakeRay) -> None:
    ray.taken = {"technical"}
    supervisor = supervise(ray, analyzer("technical"))
    supervisor.step()
    ray.taken = set()
    ray.create(analyzer("technical"))
    steps(ray, supervisor, 3)
    assert supervisor.all_running()
    assert ray.created == ["technical"]
