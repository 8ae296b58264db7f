"""The supervisor on a fake Ray and a fake clock: what should run, does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from actors.ray_port import ActorGone, ActorSpec, NameTaken
from actors.supervisor import (
    CRASH_LOOP_LIMIT,
    PLACE_PERIOD_S,
    PROBE_TIMEOUT_S,
    PROBES_FAILED_LIMIT,
    RESTART_BACKOFF_CAP_S,
    STABLE_AFTER_S,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    Supervisor,
)
from vnpulse.errors import StoreUnavailable

HEALTHY = {"alive": True, "error": ""}


class Consumer:
    """Stands for any class: the fake makes no objects of it."""


@dataclass
class Call:
    process: Process
    method: str
    done: bool = False
    answer: Any = None
    error: Exception | None = None


@dataclass
class Process:
    name: str
    version: str = ""
    alive: bool = True
    calls: list[Call] = field(default_factory=list)


class FakeRay:
    """Processes by name. A method is answered at once unless ``hanging`` or ``failing`` says otherwise."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.processes: dict[str, Process] = {}
        self.created: list[str] = []
        self.killed: list[str] = []
        self.log: list[str] = []
        self.hanging: set[tuple[str, str]] = set()
        self.failing: dict[tuple[str, str], Callable[[], Exception]] = {}
        self.answers: dict[tuple[str, str], Any] = {}
        self.broken: dict[str, set[str]] = {}
        self.taken: set[str] = set()
        self.homeless: set[str] = set()
        """Actors that no node has room for."""
        self.silent = False
        """Whether Ray's head answers no question."""

    def _break(self, verb: str, name: str) -> None:
        if verb in self.broken.get(name, ()):
            raise RuntimeError(f"{verb} {name}: the connection to Ray is gone")

    def create(self, spec: ActorSpec) -> Process:
        self._break("create", spec.name)
        held = self.processes.get(spec.name)
        if spec.name in self.taken or (held is not None and held.alive):
            raise NameTaken(spec.name)
        self.created.append(spec.name)
        self.processes[spec.name] = Process(spec.name, spec.version)
        return self.processes[spec.name]

    def find(self, name: str) -> Process:
        self._break("find", name)
        process = self.processes.get(name)
        if process is None or not process.alive:
            raise ActorGone(name)
        return process

    def names(self) -> list[str]:
        return sorted(name for name, process in self.processes.items() if process.alive)

    def ask_node(self, handle: Process) -> Call:
        return Call(handle, "ask_node", not self.silent, handle.name not in self.homeless)

    def call(self, handle: Process, method: str, *arguments: Any) -> Call:
        self._break("call", handle.name)
        call = Call(handle, method)
        handle.calls.append(call)
        self.log.append(f"{method} {handle.name}")
        if (handle.name, method) not in self.hanging:
            self.finish(call)
        return call

    def finish(self, call: Call) -> None:
        key = (call.process.name, call.method)
        call.done = True
        if key in self.failing:
            call.error = self.failing[key]()
        else:
            health = {**HEALTHY, "version": call.process.version}
            default = {"health": health, "start": None, "stop": True}[call.method]
            call.answer = self.answers.get(key, default)

    def is_done(self, pending: Call) -> bool:
        return pending.done or not pending.process.alive

    def answer(self, pending: Call, timeout_s: float) -> Any:
        if not pending.process.alive:
            raise ActorGone("process died")
        if not pending.done:
            raise TimeoutError
        self.log.append(f"answered {pending.method} {pending.process.name}")
        if pending.error is not None:
            raise pending.error
        return pending.answer

    def kill(self, handle: Process) -> None:
        self._break("kill", handle.name)
        handle.alive = False
        self.killed.append(handle.name)
        self.log.append(f"kill {handle.name}")

    def open_calls(self, name: str) -> int:
        return sum(not call.done for call in self.processes[name].calls)


def consumer(name: str, rank: int = 0, stage: int = 1, version: str = "") -> ActorSpec:
    return ActorSpec(name, Consumer, (), stage=stage, drain_rank=rank, version=version)


def analyzer(name: str) -> ActorSpec:
    return ActorSpec(name, Consumer, (), stage=0, drain_rank=9, shared=True)


@pytest.fixture
def ray() -> FakeRay:
    return FakeRay()


def supervise(ray: FakeRay, *specs: ActorSpec) -> Supervisor:
    return Supervisor(ray, specs, now=lambda: ray.now)


def steps(ray: FakeRay, supervisor: Supervisor, seconds: float, every: float = 0.5) -> None:
    until = ray.now + seconds
    while ray.now < until:
        ray.now += every
        supervisor.step()


def row(supervisor: Supervisor, name: str) -> dict[str, Any]:
    return next(row for row in supervisor.status() if row["name"] == name)


def running(ray: FakeRay, *specs: ActorSpec) -> Supervisor:
    supervisor = supervise(ray, *specs)
    steps(ray, supervisor, 5)
    assert supervisor.all_running()
    return supervisor


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


def test_an_actor_without_a_node_is_not_waited_for_when_it_goes(ray: FakeRay) -> None:
    supervisor = without_a_node(ray)
    supervisor.reconcile([consumer("storage"), analyzer("technical/0")])
    supervisor.step()
    assert ray.killed == ["technical/1"]
    assert supervisor.names() == ["technical/0", "storage"]
    assert without_a_node(FakeRay()).stop() == []


def test_an_actor_of_the_first_stage_that_dies_later_does_not_hold_up_the_others(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("storage"), analyzer("technical"))
    ray.hanging = {("technical", "start")}
    ray.processes["technical"].alive = False
    ray.processes["storage"].alive = False
    steps(ray, supervisor, 5)
    assert row(supervisor, "technical")["status"] == "starting"
    assert row(supervisor, "storage")["status"] == "running"


def test_an_actor_that_died_is_replaced(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.processes["a"].alive = False
    steps(ray, supervisor, 3)
    assert ray.created == ["a", "b", "a"]
    assert supervisor.all_running()
    assert (row(supervisor, "a")["restarts"], row(supervisor, "b")["restarts"]) == (1, 0)


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


def test_a_start_may_take_minutes_and_not_longer(ray: FakeRay) -> None:
    ray.hanging = {("a", "start")}
    supervisor = supervise(ray, consumer("a"))
    steps(ray, supervisor, START_TIMEOUT_S - 1, every=1)
    assert ray.killed == []
    steps(ray, supervisor, 3, every=1)
    assert ray.killed == ["a"]
    assert "start" in row(supervisor, "a")["error"]


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


def test_an_actor_that_was_given_up_does_not_hold_up_the_next_stage(ray: FakeRay) -> None:
    ray.failing["sentiment", "start"] = lambda: RuntimeError("bad model")
    supervisor = supervise(ray, analyzer("sentiment"), consumer("a"))
    steps(ray, supervisor, 600)
    assert row(supervisor, "a")["status"] == "running"


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


def test_a_name_that_is_not_free_yet_is_tried_again(ray: FakeRay) -> None:
    ray.taken = {"a"}
    supervisor = supervise(ray, consumer("a"), consumer("b"))
    steps(ray, supervisor, 5)
    assert ray.created == ["b"]
    ray.taken = set()
    steps(ray, supervisor, 2)
    assert supervisor.all_running()
    assert row(supervisor, "a")["restarts"] == 0


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


def test_of_two_supervisors_that_make_a_shared_actor_the_slower_uses_the_other_s(ray: FakeRay) -> None:
    ray.taken = {"technical"}
    supervisor = supervise(ray, analyzer("technical"))
    supervisor.step()
    ray.taken = set()
    ray.create(analyzer("technical"))
    steps(ray, supervisor, 3)
    assert supervisor.all_running()
    assert ray.created == ["technical"]


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


def test_an_answer_that_is_no_health_counts_as_a_failure(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"))
    ray.answers["a", "health"] = None
    steps(ray, supervisor, 3)
    assert row(supervisor, "a")["restarts"] > 0
    assert row(supervisor, "b")["status"] == "running"


def test_an_actor_that_cannot_be_asked_to_stop_does_not_keep_the_others_from_stopping(ray: FakeRay) -> None:
    supervisor = running(ray, consumer("a"), consumer("b"), consumer("c", 1))
    ray.broken = {"a": {"call"}}
    assert "a" in supervisor.stop()
    assert {"b", "c"} <= set(ray.killed)
