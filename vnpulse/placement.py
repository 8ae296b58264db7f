"""``ray`` and ``placement``: the Ray cluster, and what each kind of actor asks of its nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from vnpulse.strict_model import StrictModel

_RESOURCES_OF_RAY = frozenset({"CPU", "GPU", "memory", "object_store_memory"})
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([A-Za-z0-9.-]+/)?{_LABEL}")
_LABEL_SELECTOR = re.compile(rf"!?({_LABEL}|in\({_LABEL}(, ?{_LABEL})*\))")


class RaySettings(StrictModel):
    """The Ray cluster. ``address`` is host:port of its GCS, or "auto" inside a job."""

    address: str | None = None
    dashboard_url: str | None = None
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")] = "vnpulse"


class NodePlacement(StrictModel):
    """What an actor asks of the node that it runs on, in Ray's terms."""

    num_cpus: Annotated[float, Field(ge=0, le=1_024)] = 0.1
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Custom resources that the node must have, such as {"nvme": 1}."""
    node_labels: dict[str, str] = Field(default_factory=dict)
    """Labels that the node must have, such as {"ray.io/market-type": "!spot"}; see Ray's label selectors."""

    @model_validator(mode="after")
    def _ray_takes_it(self) -> Self:
        """Ray would find a mistake only when the actor is made, again and again."""
        for name in _RESOURCES_OF_RAY & self.resources.keys():
            raise ValueError(f"resources: {name} is Ray's own; use num_cpus or num_gpus")
        for key, wanted in self.node_labels.items():
            if not (_LABEL_KEY.fullmatch(key) and _LABEL_SELECTOR.fullmatch(wanted)):
                raise ValueError(
                    f'node_labels: was {key}: "{wanted}", must be like spot, "!spot", in(a, b) or "!in(a, b)"'
                )
        return self


class SupervisorPlacement(NodePlacement):
    """The supervisor's: a node that does not go away by itself."""

    num_cpus: Annotated[float, Field(ge=0, le=1_024)] = 0.0


class ConsumerPlacement(NodePlacement):
    """How one topic's partitions are spread over actors, and what each asks of its node."""

    hosts: Annotated[int, Field(ge=1, le=10_000)] = 1
    spread: bool = True
    """Over as many nodes as there are, so that the loss of one takes few partitions along."""


class AutoscaleSettings(StrictModel):
    """Up to how many shards an analyzer may get by itself, and when."""

    max: Annotated[int, Field(ge=1, le=10_000)]
    behind_s: Annotated[float, Field(ge=0.1, le=86_400)] = 10.0
    """One more when the oldest trigger in hand stays older than this."""
    calm_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """One fewer after so long without need."""


class AnalyzerPlacement(NodePlacement):
    """How many shards an analyzer has, at least where it scales by itself, and what each asks of its node."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 1
    autoscale: AutoscaleSettings | None = None
    num_gpus: Annotated[float, Field(ge=0, le=64)] = 0

    @model_validator(mode="after")
    def _scales_upwards(self) -> Self:
        if self.autoscale is not None and self.autoscale.max < self.shards:
            raise ValueError(
                f"autoscale.max was {self.autoscale.max}, must be at least shards, {self.shards}"
            )
        return self


class PlacementSettings(StrictModel):
    """One entry for each kind of actor."""

    supervisor: SupervisorPlacement = SupervisorPlacement()
    prices: ConsumerPlacement = ConsumerPlacement()
    news: ConsumerPlacement = ConsumerPlacement()
    analysis: ConsumerPlacement = ConsumerPlacement()
    aggregation: ConsumerPlacement = ConsumerPlacement()
    notification: ConsumerPlacement = ConsumerPlacement()
    technical: AnalyzerPlacement = AnalyzerPlacement()
    sentiment: AnalyzerPlacement = AnalyzerPlacement()

    def scaled(self, counts: Mapping[str, int]) -> PlacementSettings:
        """Return a copy with other numbers of hosts or shards, by the name of the placement."""
        changed = {}
        for name, count in counts.items():
            placement = getattr(self, name)
            field = "hosts" if isinstance(placement, ConsumerPlacement) else "shards"
            changed[name] = placement.model_copy(update={field: count})
        return self.model_copy(update=changed)
