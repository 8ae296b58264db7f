"""Who lives, works and hangs is known by asking, on a fake Ray and a fake clock."""

from __future__ import annotations

from actors.supervisor import PROBE_TIMEOUT_S, PROBES_FAILED_LIMIT
from tests.unit.actors.fake_ray import FakeRay, consumer, row, running, steps


def test_an_actor_that_says_its_work_has_ended_is_replaced(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    ray.answers["a", "health"] = {"alive": False, "error": "KafkaRefused: not authorised"}
    steps(ray, supervisor, 2, every=0.1)
    assert "a" in ray.killed
    assert "not authorised" in row(supervisor, "a")["error"]
    ray.answers.clear()
    steps(ray, supervisor, 5)
    assert supervisor.all_running()


def test_an_actor_whose_work_fails_is_degraded_and_left_alone(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    ray.answers["a", "health"] = {"alive": True, "error": "StoreUnavailable: away", "records": 7}
    steps(ray, supervisor, 60)
    assert row(supervisor, "a")["status"] == "degraded"
    assert row(supervisor, "a")["error"] == "StoreUnavailable: away"
    assert row(supervisor, "a")["records"] == 7
    assert not supervisor.all_running()
    ray.answers.clear()
    steps(ray, supervisor, 3)
    assert supervisor.all_running()
    assert ray.created == ["a"]
    assert row(supervisor, "a")["error"] == ""


def test_an_actor_that_hangs_is_replaced_after_some_failed_probes_and_not_before(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    ray.hanging = {("a", "health")}
    steps(ray, supervisor, PROBE_TIMEOUT_S * (PROBES_FAILED_LIMIT - 1))
    assert ray.killed == []
    steps(ray, supervisor, PROBE_TIMEOUT_S + 10)
    assert ray.killed == ["a"]
    assert "health" in row(supervisor, "a")["error"]


def test_one_slow_answer_is_forgiven(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    for _ in range(5):
        ray.hanging = {("a", "health")}
        steps(ray, supervisor, PROBE_TIMEOUT_S * 2)
        ray.hanging = set()
        steps(ray, supervisor, PROBE_TIMEOUT_S + 2)
    assert ray.killed == []
    assert supervisor.all_running()


def test_at_most_one_probe_is_outstanding_while_its_time_has_not_run_out(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"))
    ray.hanging = {("a", "health")}
    for _ in range(int(PROBE_TIMEOUT_S / 0.1)):
        ray.now += 0.1
        supervisor.step()
        assert ray.open_calls("a") <= 1


def test_an_actor_that_hangs_does_not_delay_the_probes_of_another(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.hanging = {("a", "health")}
    before = len(ray.processes["b"].calls)
    steps(ray, supervisor, 9)
    assert len(ray.processes["b"].calls) - before >= 4


def test_an_answer_that_is_no_health_counts_as_a_failure(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.answers["a", "health"] = None
    steps(ray, supervisor, 3)
    assert row(supervisor, "a")["restarts"] > 0
    assert row(supervisor, "b")["status"] == "running"
