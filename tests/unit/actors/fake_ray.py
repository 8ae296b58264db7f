"""A Ray of processes by name and a clock that a test turns, and a supervisor on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from actors.ray_port import ActorGone, ActorSpec, NameTaken, Place
from actors.supervisor import Supervisor
from vnpulse.errors import RayUnavailable

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
    on_gpu: bool = False
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
        self.unkillable = False
        """Whether the head has put another in the place of the supervisor that asks."""

    def _break(self, verb: str, name: str) -> None:
        if verb in self.broken.get(name, ()):
            raise RuntimeError(f"{verb} {name}: the connection to Ray is gone")

    def create(self, spec: ActorSpec) -> Process:
        self._break("create", spec.name)
        held = self.processes.get(spec.name)
        if spec.name in self.taken or (held is not None and held.alive):
            raise NameTaken(spec.name)
        self.created.append(spec.name)
        self.processes[spec.name] = Process(spec.name, spec.version, spec.num_gpus > 0)
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
        place = Place(handle.name not in self.homeless, handle.on_gpu)
        return Call(handle, "ask_node", not self.silent, place)

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
            gpus = ["0"] if call.process.on_gpu else []
            health = {**HEALTHY, "version": call.process.version, "gpus": gpus, "node_id": "here"}
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
        if self.unkillable:
            raise RayUnavailable("Ray has given this process up")
        handle.alive = False
        self.killed.append(handle.name)
        self.log.append(f"kill {handle.name}")

    def open_calls(self, name: str) -> int:
        return sum(not call.done for call in self.processes[name].calls)


def consumer(name: str, rank: int = 0, stage: int = 1, version: str = "") -> ActorSpec:
    return ActorSpec(name, Consumer, (), stage=stage, drain_rank=rank, version=version)


def analyzer(name: str) -> ActorSpec:
    return ActorSpec(name, Consumer, (), stage=0, drain_rank=9, shared=True)


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
