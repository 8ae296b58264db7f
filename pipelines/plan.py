"""What a supervisor should run: asked by the supervisor itself, again when the scale or the GPUs change."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from actors.ray_port import ActorSpec
from actors.supervisor_actor import PREFIX, Plan
from pipelines.wiring import (
    ANALYZER_KINDS,
    ANALYZER_STAGE,
    CONSUMER_STAGE,
    DRAIN_ORDER,
    Cluster,
    fit_to_gpus,
    look_at,
)
from vnpulse.settings import Settings

PIPELINES = ("collection", "storage", "analysis", "aggregation", "notification")
"""Collection has no actors where the settings leave it off, which is the default."""

WITH_ANALYZERS = ("storage", "analysis")
"""Those that feed the analyzers or ask them."""


def supervisor_name(pipelines: tuple[str, ...]) -> str:
    """Return the name of the actor that supervises ``pipelines``: "supervisor/run" for all of them."""
    return PREFIX + ("run" if set(pipelines) == set(PIPELINES) else "+".join(pipelines))


def overlapping(pipelines: tuple[str, ...], running: list[str]) -> list[str]:
    """Return which other supervisors among ``running`` look after some of ``pipelines`` already."""
    own = supervisor_name(pipelines)
    return [
        name
        for name in running
        if name.startswith(PREFIX) and name != own and _supervised(name).intersection(pipelines)
    ]


def _supervised(name: str) -> set[str]:
    what = name.removeprefix(PREFIX)
    return set(PIPELINES) if what == "run" else set(what.split("+"))


@dataclass(frozen=True)
class PipelinePlanner:
    """Answers a supervisor's questions about ``pipelines``; sent to it as it is."""

    pipelines: tuple[str, ...]

    def plan(
        self, settings: Settings, running: list[str], gpus: Mapping[str, float], seats: Mapping[str, str]
    ) -> Plan:
        """Return the actors of the pipelines, and which of those that run are nobody's."""
        return plan_for(self.pipelines, look_at(settings), running, gpus, seats)

    def most_shards(self, settings: Settings) -> dict[str, int] | None:
        """Return how many technical shards there can be: a partition has one; None without analyzers."""
        if not set(self.pipelines).intersection(WITH_ANALYZERS):
            return None
        return {"technical": look_at(settings).raw_partitions}

    def shares_with(self, supervisor: str) -> bool:
        """Say whether another supervisor uses the analyzers too."""
        return bool(_supervised(supervisor).intersection(WITH_ANALYZERS))


def plan_for(
    pipelines: tuple[str, ...],
    cluster: Cluster,
    running: list[str],
    gpus: Mapping[str, float],
    seats: Mapping[str, str],
) -> Plan:
    """Return the plan for a cluster as it is (see Planner)."""
    specs: dict[str, ActorSpec] = {}
    for name in pipelines:
        # By its importable name: `python -m pipelines.storage` is __main__ in its own process.
        module = importlib.import_module(f"pipelines.{name}")
        specs |= {spec.name: spec for spec in module.actors(cluster)}
    alone = set(pipelines) == set(PIPELINES)
    if alone:
        specs = {name: replace(spec, shared=False) for name, spec in specs.items()}
    kinds = {*pipelines, *(ANALYZER_KINDS if alone else ())}
    strays = [_stray(name) for name in running if name.split("/")[0] in kinds and name not in specs]
    fitted, remarks = fit_to_gpus(list(specs.values()), gpus, seats)
    return Plan(fitted, strays, remarks)


def _stray(name: str) -> ActorSpec:
    kind = name.split("/")[0]
    analyzer = kind in ANALYZER_KINDS
    return ActorSpec(
        name,
        object,
        (),
        stage=ANALYZER_STAGE if analyzer else CONSUMER_STAGE,
        drain_rank=DRAIN_ORDER.index("analyzer" if analyzer else kind),
    )
