"""A market of any size through the real supervisor and the real placement, with stub actors, as JSON.

``.venv/bin/python benchmarks/simulate_scale.py [--symbols 100000] [--partitions 1000]`` plans the
actors of a deployment of that size as the driver does, and lets the supervisor start and look after
them on a Ray that is not there: nodes with cores, GPUs and labels, in virtual time. The clock moves
by the supervisor's period, by the CPU time that its step really took, and by ``--call-us`` for every
call that would have gone to Ray. Then a tenth of the actors dies at once, then a node, then
another version is rolled out.

Ray's own scheduler is not simulated: an actor goes to the emptiest node that has what it asks for.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Any

from actors.ray_port import ActorGone, ActorSpec, NameTaken, Place
from actors.supervisor import Supervisor
from actors.supervisor_actor import STEP_PERIOD_S
from pipelines.plan import PIPELINES, plan_for
from pipelines.wiring import Cluster
from vnpulse.kafka.partitioning import partition_of
from vnpulse.settings import Settings
from vnpulse.topics import ALERTS, NEWS, PRICES, RESULTS, TRIGGERS

CALL_US, LOOK_US = 300.0, 30.0
"""A call with its answer through RayPort, and a look whether it is done; measured, see docs/scale.md."""

PROCESS_START_CORE_S = 0.35
"""Of one core, for an actor's process: so many cores start so many at the same time."""

START_S = {"technical": 20.0, "sentiment": 5.0}
"""What ``start`` takes: an analyzer loads its state or its model first."""

CONSUMER_START_S = 0.5
DEATH_NOTICED_S = 1.0
LONG_S = 20_000.0


@dataclass
class Node:
    """A machine: what it has, and what of it is free."""

    cpus: float
    gpus: float
    labels: dict[str, str]
    free_cpus: float = field(init=False)
    free_gpus: float = field(init=False)
    busy_until: float = 0.0
    alive: bool = True

    def __post_init__(self) -> None:
        self.free_cpus, self.free_gpus = self.cpus, self.gpus

    def fits(self, spec: ActorSpec) -> bool:
        """Say whether an actor can be placed here now."""
        return (
            self.alive
            and self.free_cpus >= spec.num_cpus - 1e-9
            and self.free_gpus >= spec.num_gpus - 1e-9
            and self.suits(spec)
        )

    def suits(self, spec: ActorSpec) -> bool:
        """Say whether this is a kind of node that the actor may be on."""
        kinds = all(_matches(self.labels.get(key, ""), wanted) for key, wanted in spec.node_labels.items())
        return kinds and (self.gpus > 0 or not spec.num_gpus)


def _matches(value: str, wanted: str) -> bool:
    return value != wanted[1:] if wanted.startswith("!") else value == wanted


@dataclass
class Process:
    """A stub actor."""

    spec: ActorSpec
    node: Node | None
    ready_at: float
    alive: bool = True
    died_at: float = 0.0
    started: bool = False


@dataclass
class Call:
    """A call that is answered at ``done_at``."""

    process: Process
    method: str
    done_at: float


class VirtualRay:
    """ActorPort on virtual time. ``waiting`` are actors that no node had room for."""

    def __init__(self, nodes: list[Node], call_s: float) -> None:
        self.nodes = nodes
        self.now = 0.0
        self.calls = 0
        self.created = 0
        self._call_s = call_s
        self._look_s = LOOK_US / 1e6
        self._processes: dict[str, Process] = {}
        self._waiting: list[Process] = []

    def _cost(self) -> None:
        self.calls += 1
        self.now += self._call_s

    def create(self, spec: ActorSpec) -> Process:
        if (held := self._processes.get(spec.name)) is not None and held.alive:
            raise NameTaken(spec.name)
        self._cost()
        self.created += 1
        process = self._processes[spec.name] = Process(spec, None, LONG_S * 1_000)
        if not self._place(process):
            self._waiting.append(process)
        return process

    def _place(self, process: Process) -> bool:
        spec = process.spec
        able = [node for node in self.nodes if node.fits(spec)]
        if not able:
            return False
        node = max(able, key=lambda n: (n.free_cpus / n.cpus, n.free_gpus))
        node.free_cpus -= spec.num_cpus
        node.free_gpus -= spec.num_gpus
        # Its cores start one process after another.
        node.busy_until = max(node.busy_until, self.now) + PROCESS_START_CORE_S / node.cpus
        process.node, process.ready_at = node, node.busy_until + PROCESS_START_CORE_S
        return True

    def find(self, name: str) -> Process:
        process = self._processes.get(name)
        if process is None or not process.alive:
            raise ActorGone(name)
        return process

    def names(self) -> list[str]:
        return [name for name, process in self._processes.items() if process.alive]

    def ask_node(self, handle: Process) -> Call:
        self._cost()
        return Call(handle, "ask_node", self.now)

    def call(self, handle: Process, method: str, *arguments: Any) -> Call:
        self._cost()
        kind = handle.spec.name.split("/")[0]
        takes = {"start": START_S.get(kind, CONSUMER_START_S), "stop": 0.2}.get(method, 0.001)
        return Call(handle, method, max(self.now, handle.ready_at) + takes)

    def is_done(self, pending: Call) -> bool:
        self.now += self._look_s
        if pending.method == "ask_node":
            return True
        if not pending.process.alive:
            return self.now >= pending.process.died_at + DEATH_NOTICED_S
        if pending.process.node is None and self._waiting:
            # Somebody may have made room.
            if not self._place(pending.process):
                return False
            self._waiting.remove(pending.process)
            pending.done_at += pending.process.ready_at - LONG_S * 1_000
        return self.now >= pending.done_at

    def answer(self, pending: Call, timeout_s: float) -> Any:
        if pending.method == "ask_node":
            return Place(pending.process.node is not None, pending.process.spec.num_gpus > 0)
        if not pending.process.alive:
            raise ActorGone("its node is gone")
        if pending.method == "start":
            pending.process.started = True
        return {"alive": pending.process.started, "error": "", "version": pending.process.spec.version}

    def kill(self, handle: Process) -> None:
        self._cost()
        self.die(handle)

    def die(self, process: Process) -> None:
        """End a process, whoever wants it."""
        if process.alive:
            process.alive, process.died_at = False, self.now
            if process.node is not None:
                process.node.free_cpus += process.spec.num_cpus
                process.node.free_gpus += process.spec.num_gpus

    def running(self) -> list[Process]:
        return [process for process in self._processes.values() if process.alive]


@dataclass
class Measured:
    """What the steps of one stretch cost."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Return the cost of a step: its CPU without Ray, and its length with what calls to Ray take."""
        ordered = sorted(self.cpu_ms)
        return {
            "steps": len(ordered),
            "step_cpu_ms_mean": round(mean(ordered), 2),
            "step_cpu_ms_p99": round(ordered[int(len(ordered) * 0.99) - 1], 2),
            "step_cpu_ms_max": round(ordered[-1], 2),
            "step_s_mean": round(mean(self.wall_s), 3),
            "step_s_max": round(max(self.wall_s), 3),
        }


def drive(ray: VirtualRay, supervisor: Supervisor, until: Callable[[], bool]) -> tuple[float, Measured]:
    """Step until ``until``; return the virtual seconds that took, and what the steps cost."""
    measured = Measured()
    began = ray.now
    while not until() and ray.now - began < LONG_S:
        before = ray.now
        cpu = time.process_time()
        supervisor.step()
        cpu = time.process_time() - cpu
        ray.now += cpu
        measured.cpu_ms.append(cpu * 1_000)
        measured.wall_s.append(ray.now - before)
        ray.now += STEP_PERIOD_S
    return round(ray.now - began, 1), measured


def settings_for(partitions: int, share: int) -> Settings:
    """Return placements that follow the partitions, ``share`` of them to a consumer of prices."""
    shards = max(1, partitions // 10)
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": ("kafka:9092",)},
            "store": {"uri": "mongodb://store"},
            "ray": {"address": "auto"},
            "placement": {
                "prices": {"hosts": max(1, partitions // share), "num_cpus": 0.5},
                "news": {"hosts": max(1, partitions // (10 * share)), "num_cpus": 0.25},
                "analysis": {"hosts": max(1, partitions // (2 * share)), "num_cpus": 0.5},
                "aggregation": {
                    "hosts": max(1, partitions // (2 * share)),
                    "num_cpus": 0.5,
                    "node_labels": {"ray.io/market-type": "!spot"},
                },
                "notification": {"hosts": 1},
                "technical": {"shards": shards, "num_cpus": 1},
                "sentiment": {"shards": max(1, partitions // 50), "num_cpus": 1, "num_gpus": 0.25},
            },
        }
    )


def nodes_for(partitions: int) -> list[Node]:
    """Return machines of 16 cores: on demand and spot half and half, and of every eight one with a GPU."""
    count = max(3, partitions // 10)
    nodes = []
    for number in range(count):
        labels = {"ray.io/market-type": "spot" if number % 2 else "on-demand"}
        nodes.append(Node(16.0, 1.0 if number % 8 == 0 else 0.0, labels))
    return nodes


def spread_of(symbols: int, partitions: int) -> dict[str, float]:
    """Return how evenly murmur2 puts symbols into partitions."""
    counts = Counter(partition_of(f"S{number:05}", partitions) for number in range(symbols))
    return {
        "mean": round(symbols / partitions, 1),
        "min": min(counts.get(p, 0) for p in range(partitions)),
        "max": max(counts.values()),
    }


def simulate(
    symbols: int, partitions: int, share: int = 2, call_us: float = CALL_US, seed: int = 7
) -> dict[str, Any]:
    """Start, disturb and upgrade a deployment; return what it took."""
    random.seed(seed)
    chosen = random.Random(seed)
    settings = settings_for(partitions, share)
    counts = {
        PRICES: partitions,
        NEWS: max(1, partitions // 2),
        TRIGGERS: partitions,
        RESULTS: partitions,
        ALERTS: 3,
    }
    specs = plan_for(
        PIPELINES,
        Cluster(settings, counts),
        running=[],
        gpus={str(number): node.gpus for number, node in enumerate(nodes_for(partitions)) if node.gpus},
        seats={},
    ).specs
    ray = VirtualRay(nodes_for(partitions), call_us / 1e6)
    supervisor = Supervisor(ray, specs, now=lambda: ray.now)
    report: dict[str, Any] = {
        "symbols": symbols,
        "partitions": partitions,
        "symbols_a_partition": spread_of(symbols, partitions),
        "nodes": len(ray.nodes),
        "actors": len(specs),
        "actors_by_kind": dict(Counter(spec.name.split("/")[0] for spec in specs)),
    }
    took, measured = drive(ray, supervisor, supervisor.all_running)
    report["start"] = {"s": took, **measured.summary()}
    a_node = Counter(id(process.node) for process in ray.running()).values()
    report["actors_a_node"] = {"min": min(a_node), "max": max(a_node)}
    report["misplaced"] = [p.spec.name for p in ray.running() if p.node and not p.node.suits(p.spec)]
    until = ray.now + 30
    calls, began = ray.calls, ray.now
    _, measured = drive(ray, supervisor, lambda: ray.now >= until)
    report["steady"] = {
        **measured.summary(),
        "calls_a_second": round((ray.calls - calls) / (ray.now - began)),
    }

    def back() -> bool:
        return supervisor.all_running() and all(p.started for p in ray.running())

    victims = chosen.sample(ray.running(), max(1, len(specs) // 10))
    for process in victims:
        ray.die(process)
    report["a_tenth_dies"] = _recover(ray, supervisor, len(victims), len(specs), back)

    node = chosen.choice([node for node in ray.nodes if not node.gpus])
    lost = [process for process in ray.running() if process.node is node]
    for process in lost:
        ray.die(process)
    node.alive = False
    report["a_node_dies"] = _recover(ray, supervisor, len(lost), len(specs), back)

    supervisor.reconcile([replace(spec, version="next") for spec in specs])
    created = ray.created
    took, measured = drive(ray, supervisor, supervisor.all_running)
    report["upgrade"] = {"s": took, "replaced": ray.created - created, **measured.summary()}
    return report


def _recover(
    ray: VirtualRay, supervisor: Supervisor, died: int, actors: int, back: Callable[[], bool]
) -> dict[str, Any]:
    created = ray.created
    took, measured = drive(ray, supervisor, lambda: back() and ray.created - created >= died)
    return {
        "died": died,
        "s": took,
        "made_anew": ray.created - created,
        "runs": len(ray.running()) == actors,
        **measured.summary(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=1_000)
    parser.add_argument("--share", type=int, default=2, help="partitions a consumer (%(default)s)")
    parser.add_argument("--call-us", type=float, default=CALL_US, help="a call to Ray (%(default)s us)")
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    report = simulate(arguments.symbols, arguments.partitions, arguments.share, arguments.call_us)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
