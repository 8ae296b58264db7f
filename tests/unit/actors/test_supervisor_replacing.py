"""What died is replaced, and what dies again and again is given up, on a fake Ray and a fake clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from actors.ray_port import ActorSpec
from actors.supervisor import CRASH_LOOP_LIMIT, RESTART_BACKOFF_CAP_S, STABLE_AFTER_S, Supervisor
from tests.unit.actors.fake_ray import Consumer, FakeRay, consumer, row, running, steps, supervise
from vnpulse.errors import StoreUnavailable


def test_an_actor_that_died_is_replaced(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.processes["a"].alive = False
    steps(ray, supervisor, 3)
    assert ray.created == ["a", "b", "a"]
    assert supervisor.all_running()
    assert (row(supervisor, "a")["restarts"], row(supervisor, "b")["restarts"]) == (1, 0)


def restart_times(ray: FakeRay, supervisor: Supervisor, seconds: float) -> list[float]:
    times, known = [], len(ray.created)
    until = ray.now + seconds
    while ray.now < until:
        ray.now += 0.25
        supervisor.step()
        if len(ray.created) > known:
            known = len(ray.created)
            times.append(ray.now)
    return times


def test_the_pause_before_a_restart_grows_and_is_capped(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: StoreUnavailable("no store")
    supervisor = supervise(ray, consumer("a"))
    times = restart_times(ray, supervisor, 400)
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses[:5] == sorted(pauses[:5])
    assert pauses[0] < 1
    assert RESTART_BACKOFF_CAP_S <= max(pauses) <= RESTART_BACKOFF_CAP_S + 1
    assert row(supervisor, "a")["error"] == "StoreUnavailable: no store"
    ray.failing.clear()
    steps(ray, supervisor, RESTART_BACKOFF_CAP_S + 2)
    assert supervisor.all_running()


def test_an_outage_of_a_night_is_waited_out(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: StoreUnavailable("no store")
    supervisor = supervise(ray, consumer("a"), consumer("b"))
    for _ in range(3_000):
        ray.now += RESTART_BACKOFF_CAP_S + 1
        supervisor.step()
    assert row(supervisor, "a")["restarts"] > 1_100
    assert row(supervisor, "b")["status"] == "running"
    ray.failing.clear()
    steps(ray, supervisor, RESTART_BACKOFF_CAP_S + 2)
    assert supervisor.all_running()


def test_a_crash_loop_ends_in_faulted_with_the_last_error(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: RuntimeError("bad model")
    supervisor = supervise(ray, consumer("a"), consumer("b"))
    steps(ray, supervisor, 3_600, every=5)
    assert ray.created.count("a") == CRASH_LOOP_LIMIT
    said = row(supervisor, "a")
    assert (said["status"], said["gave_up"]) == ("faulted", True)
    assert said["error"] == "RuntimeError: bad model"
    assert row(supervisor, "b")["status"] == "running"


def test_an_actor_that_was_given_up_is_started_when_asked_for(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: RuntimeError("bad model")
    supervisor = supervise(ray, consumer("a"))
    steps(ray, supervisor, 600)
    ray.failing.clear()
    supervisor.restart("a")
    steps(ray, supervisor, 3)
    assert supervisor.all_running()
    assert not row(supervisor, "a")["gave_up"]


def test_an_actor_that_runs_and_is_restarted_finishes_first(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    ray.log.clear()
    supervisor.restart("a")
    supervisor.restart("unknown")
    steps(ray, supervisor, 5)
    assert [line for line in ray.log if not line.endswith("health a")][:3] == ["stop a", "kill a", "start a"]
    assert supervisor.all_running()


def test_an_actor_that_ran_long_is_restarted_at_once(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: RuntimeError("no store")
    supervisor = supervise(ray, consumer("a"))
    steps(ray, supervisor, 100)
    ray.failing.clear()
    steps(ray, supervisor, RESTART_BACKOFF_CAP_S + STABLE_AFTER_S + 5)
    assert supervisor.all_running()
    ray.processes["a"].alive = False
    died = ray.now
    assert restart_times(ray, supervisor, 10)[0] - died < 3


def test_an_actor_that_dies_soon_after_each_start_is_not_taken_for_stable(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    for _ in range(400):
        if ray.processes["a"].calls and len(ray.processes["a"].calls) > 2:
            ray.processes["a"].alive = False
        steps(ray, supervisor, 1)
    assert len(ray.created) < 40


def test_an_error_without_a_text_is_named_by_its_kind(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: AssertionError()
    supervisor = supervise(ray, consumer("a"))
    supervisor.step()
    supervisor.step()
    assert row(supervisor, "a")["status"] == "faulted"
    assert "AssertionError" in row(supervisor, "a")["error"]


def test_the_last_line_of_a_long_error_is_shown(ray: FakeRay) -> None:
    ray.failing["a", "start"] = lambda: RuntimeError("Traceback:\n  File x\nValueError: bad model\n")
    supervisor = supervise(ray, consumer("a"))
    supervisor.step()
    supervisor.step()
    assert row(supervisor, "a")["error"].endswith("ValueError: bad model")


@pytest.mark.parametrize("verb", ["create", "find", "call"])
def test_trouble_with_one_actor_does_not_stop_the_others_being_looked_after(ray: FakeRay, verb: str) -> None:
    ray.broken = {"a": {verb}}
    shared = ActorSpec("a", Consumer, (), stage=1, drain_rank=0, shared=True)
    supervisor = supervise(ray, shared, consumer("b"))
    steps(ray, supervisor, 20)
    assert row(supervisor, "b")["status"] == "running"
    assert row(supervisor, "a")["status"] == "faulted"
    assert "gone" in row(supervisor, "a")["error"]
    ray.broken.clear()
    steps(ray, supervisor, 40)
    assert supervisor.all_running()


def test_an_actor_that_cannot_be_killed_does_not_stop_the_others_being_looked_after(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.broken = {"a": {"call", "kill"}}
    ray.processes["b"].alive = False
    steps(ray, supervisor, 5)
    assert row(supervisor, "b")["status"] == "running"
