"""Analyzers that are to be on a GPU, and then on a CPU, on a fake Ray and a fake clock."""

from __future__ import annotations

from dataclasses import replace

from actors.ray_port import ActorSpec
from actors.supervisor import PLACE_PERIOD_S, PROBE_TIMEOUT_S, PROBES_FAILED_LIMIT, Supervisor
from tests.unit.actors.fake_ray import FakeRay, analyzer, consumer, row, running, steps, supervise

NAMES = ("technical", "sentiment")


def specs(num_gpus: float, shared: bool = False) -> list[ActorSpec]:
    found = [replace(analyzer(name), num_gpus=num_gpus, shared=shared) for name in NAMES]
    return [*found, consumer("storage")]


def places(ray: FakeRay) -> list[bool]:
    return [ray.processes[name].on_gpu for name in NAMES]


def node_is_lost(ray: FakeRay, supervisor: Supervisor) -> None:
    """Both analyzers die, and those that are made for a GPU find no node any more."""
    ray.homeless = set(NAMES)
    ray.hanging = {(name, "start") for name in NAMES}
    for name in NAMES:
        ray.processes[name].alive = False
    steps(ray, supervisor, 3)
    assert [row(supervisor, name)["status"] for name in NAMES] == ["starting", "starting"]
    assert places(ray) == [True, True]


def node_is_not_needed(ray: FakeRay) -> None:
    ray.homeless, ray.hanging = set(), set()


def test_who_waits_for_a_gpu_is_made_anew_for_a_cpu_at_once() -> None:
    ray = FakeRay()
    supervisor = running(ray, *specs(0.25))
    node_is_lost(ray, supervisor)
    ray.created.clear()
    node_is_not_needed(ray)
    supervisor.reconcile(specs(0.0))
    assert not supervisor.all_running()
    steps(ray, supervisor, 3)
    assert supervisor.all_running()
    assert (sorted(ray.created), places(ray)) == (sorted(NAMES), [False, False])
    assert "stop technical" not in ray.log, "it had nothing to finish"


def test_the_same_after_it_has_waited_long(ray: FakeRay) -> None:
    supervisor = running(ray, *specs(0.25))
    node_is_lost(ray, supervisor)
    steps(ray, supervisor, PLACE_PERIOD_S + 1)
    waiting = row(supervisor, "sentiment")
    assert (waiting["waits_for_node"], waiting["num_gpus"], waiting["on_gpu"]) == (True, 0.25, True)
    node_is_not_needed(ray)
    supervisor.reconcile(specs(0.0))
    steps(ray, supervisor, 3)
    assert supervisor.all_running()
    waiting = row(supervisor, "sentiment")
    assert (waiting["waits_for_node"], waiting["num_gpus"], waiting["on_gpu"]) == (False, 0.0, False)


def test_who_runs_on_a_cpu_goes_to_a_gpu_one_after_the_other(ray: FakeRay) -> None:
    supervisor = running(ray, *specs(0.0))
    ray.log.clear()
    supervisor.reconcile(specs(0.25))
    steps(ray, supervisor, 10)
    assert supervisor.all_running()
    assert places(ray) == [True, True]
    lines = [line.split() for line in ray.log if not line.startswith(("health", "answered"))]
    assert [verb for verb, _ in lines] == ["stop", "kill", "start"] * 2
    assert {name for _, name in lines[:3]} in ({"technical"}, {"sentiment"})


def test_who_was_to_move_and_is_not_any_more_stays(ray: FakeRay) -> None:
    supervisor = running(ray, *specs(0.0))
    ray.created.clear()
    ray.processes["storage"].alive = False
    ray.hanging = {("storage", "start")}
    steps(ray, supervisor, 3)
    supervisor.reconcile(specs(0.25))
    steps(ray, supervisor, 3)
    supervisor.reconcile(specs(0.0))
    ray.hanging = set()
    ray.finish(ray.processes["storage"].calls[-1])
    steps(ray, supervisor, 5)
    assert supervisor.all_running()
    assert ray.created == ["storage"]


def test_a_new_supervisor_leaves_everybody_in_place_until_the_next_plan(ray: FakeRay) -> None:
    """Its first plan does not know who has the GPUs."""
    running(ray, *specs(0.0))
    ray.created.clear()
    supervisor = running(ray, *specs(0.25))
    steps(ray, supervisor, 5)
    assert ray.created == []
    assert not row(supervisor, "technical")["on_gpu"]
    supervisor.reconcile(specs(0.25))
    steps(ray, supervisor, 10)
    assert places(ray) == [True, True]


def test_who_an_earlier_supervisor_left_waiting_for_a_gpu_is_made_anew(ray: FakeRay) -> None:
    node_is_lost(ray, running(ray, *specs(0.25)))
    ray.hanging |= {(name, "health") for name in NAMES}
    ray.created.clear()
    supervisor = supervise(ray, *specs(0.0))
    steps(ray, supervisor, PROBES_FAILED_LIMIT * PROBE_TIMEOUT_S + 0.5)
    assert ray.created == []
    node_is_not_needed(ray)
    steps(ray, supervisor, 5)
    assert supervisor.all_running()
    assert (sorted(ray.created), places(ray)) == (sorted(NAMES), [False, False])
    assert row(supervisor, "technical")["restarts"] == 0


def test_of_two_supervisors_that_share_an_analyzer_one_moves_it(ray: FakeRay) -> None:
    first = running(ray, *specs(0.0, shared=True)[:2])
    second = running(ray, *specs(0.0, shared=True)[:2])
    ray.created.clear()
    first.reconcile(specs(0.25, shared=True)[:2])
    for _ in range(20):
        steps(ray, first, 0.5)
        steps(ray, second, 0.5)
    second.reconcile(specs(0.25, shared=True)[:2])
    for _ in range(20):
        steps(ray, first, 0.5)
        steps(ray, second, 0.5)
    assert first.all_running()
    assert second.all_running()
    assert (sorted(ray.created), places(ray)) == (sorted(NAMES), [True, True])
