"""Actors that no node has room for, on a fake Ray and a fake clock."""

from __future__ import annotations

import pytest

from actors.supervisor import PLACE_PERIOD_S, START_TIMEOUT_S, Supervisor
from tests.unit.actors.fake_ray import FakeRay, analyzer, consumer, row, steps, supervise


def without_a_node(ray: FakeRay) -> Supervisor:
    """Return a supervisor of storage and two analyzers, of which one has no node."""
    ray.hanging, ray.homeless = {("technical/1", "start"), ("technical/1", "stop")}, {"technical/1"}
    specs = consumer("storage"), analyzer("technical/0"), analyzer("technical/1")
    supervisor = supervise(ray, *specs)
    steps(ray, supervisor, PLACE_PERIOD_S + 2)
    return supervisor


def test_an_actor_waits_for_a_node_as_long_as_it_takes(
    ray: FakeRay, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = without_a_node(ray)
    assert row(supervisor, "storage")["status"] == "running", "nobody waits with it"
    steps(ray, supervisor, 5 * START_TIMEOUT_S)
    waiting = row(supervisor, "technical/1")
    assert (waiting["status"], waiting["waits_for_node"], waiting["restarts"]) == ("starting", True, 0)
    assert waiting["error"] == "waits for a node with 0.1 CPU to spare"
    assert [r.getMessage() for r in caplog.records] == [f"technical/1 {waiting['error']}"]
    ray.homeless = set()
    steps(ray, supervisor, START_TIMEOUT_S / 2)
    waiting = row(supervisor, "technical/1")
    assert (waiting["waits_for_node"], waiting["error"], waiting["restarts"]) == (False, "", 0)
    ray.finish(ray.processes["technical/1"].calls[0])
    steps(ray, supervisor, 2)
    assert supervisor.all_running()


def test_while_rays_head_is_silent_nobody_is_taken_for_dead_and_everybody_is_probed(ray: FakeRay) -> None:
    ray.hanging = {("new", "start")}
    supervisor = supervise(ray, consumer("a"), consumer("new"))
    ray.silent = True
    steps(ray, supervisor, START_TIMEOUT_S * 2)
    assert ray.killed == []
    assert row(supervisor, "new")["status"] == "starting"
    before = len(ray.processes["a"].calls)
    steps(ray, supervisor, 9)
    assert len(ray.processes["a"].calls) - before >= 4


def test_another_supervisor_s_actor_that_waits_for_a_node_is_left_waiting(ray: FakeRay) -> None:
    without_a_node(ray)
    ray.hanging.add(("technical/1", "health"))
    supervisor = supervise(ray, consumer("storage"), analyzer("technical/0"), analyzer("technical/1"))
    steps(ray, supervisor, START_TIMEOUT_S)
    assert ray.killed == []
    assert row(supervisor, "technical/1")["waits_for_node"]
    ray.homeless, ray.hanging = set(), set()
    for call in ray.processes["technical/1"].calls:
        ray.finish(call)
    steps(ray, supervisor, PLACE_PERIOD_S)
    assert supervisor.all_running()


def test_an_actor_without_a_node_is_not_waited_for_when_it_goes(ray: FakeRay) -> None:
    supervisor = without_a_node(ray)
    supervisor.reconcile([consumer("storage"), analyzer("technical/0")])
    supervisor.step()
    assert ray.killed == ["technical/1"]
    assert supervisor.names() == ["technical/0", "storage"]
    assert without_a_node(FakeRay()).stop() == []
