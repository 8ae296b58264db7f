"""What every pipeline needs to describe its actors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

from actors.analyzers import SentimentActor, Shard, TechnicalActor, shard_name
from actors.partition_consumer import ConsumerSpec, MakeHandler, PartitionConsumer
from actors.ray_port import ActorSpec
from actors.shard_calls import SentimentPool, ServingShards, TechnicalPool
from pipelines.versions import version
from vnpulse.errors import SchemaUnavailable, UserError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.connection import require_codecs
from vnpulse.kafka.settings import PipelineName
from vnpulse.messages import AnalysisType
from vnpulse.placement import AnalyzerPlacement, ConsumerPlacement
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.control import ControlStore
from vnpulse.topics import CONSUMED, PRICES, dead_letter_topic, load_topics

log = logging.getLogger("vnpulse.pipelines")

ANALYZER_STAGE, CONSUMER_STAGE = 0, 1
ANALYZER_KINDS = ("technical", "sentiment")

DRAIN_ORDER = ("collection", "storage", "analysis", "aggregation", "notification", "analyzer")
"""Who produces stops before who consumes that, so a stop leaves as little in between as it can."""


@dataclass(frozen=True)
class Cluster:
    """The topics as they are on the broker: partition counts by name (without prefix)."""

    settings: Settings
    partitions: dict[str, int]

    @cached_property
    def raw_partitions(self) -> int:
        """Partitions of stock_prices_raw."""
        return self.partitions[PRICES]

    @cached_property
    def version(self) -> str:
        """What actors of this cluster are made from."""
        return version(self.settings, self.partitions)


def look_at(settings: Settings) -> Cluster:
    """Read the topics from the broker. Raises UserError if one that pipelines need is missing."""
    specs = load_topics()
    require_codecs({spec.compression for spec in specs.values()})
    needed = [name for topic in CONSUMED for name in (topic, dead_letter_topic(topic))]
    with KafkaAdmin(settings.kafka) as admin:
        states = admin.topics(settings.kafka.topic(name) for name in needed)
    missing = [settings.kafka.topic(name) for name in needed if settings.kafka.topic(name) not in states]
    if missing:
        raise UserError(f"topics are missing: {', '.join(missing)}; run: vnpulse topics apply")
    _look_at_schemas(settings)
    return Cluster(settings, {name: states[settings.kafka.topic(name)].partitions for name in needed})


def _look_at_schemas(settings: Settings) -> None:
    """Raise UserError if a topic is to be written with a schema that the registry does not have."""
    try:
        with closing(open_codecs(settings)) as codecs:
            unregistered = codecs.unregistered()
    except SchemaUnavailable as error:
        # The consumers wait for it, each on its own, and say so in their status.
        log.warning("%s", error)
        return
    if unregistered:
        raise UserError(
            f"schemas are not registered: {', '.join(unregistered)}; run: vnpulse schemas register"
        )


def consumer_actors(
    cluster: Cluster,
    pipeline: PipelineName,
    topic: str,
    placement: ConsumerPlacement,
    lanes: Mapping[str, MakeHandler],
    writes: str | None = None,
) -> list[ActorSpec]:
    """Spread the partitions of ``topic`` over ``placement.hosts`` actors.

    An actor is named after its pipeline, topic and partitions ("storage/stock_prices_raw/0-4"),
    which is also how the Ray dashboard shows it. ``writes`` names the topic that is written in
    transactions, if the settings do not switch them off.
    """
    settings = cluster.settings
    count = cluster.partitions[topic]
    hosts = min(placement.hosts, count)
    specs = []
    for host in range(hosts):
        first, last = count * host // hosts, count * (host + 1) // hosts - 1
        span = str(first) if first == last else f"{first}-{last}"
        spec = ConsumerSpec(
            name=f"{pipeline}/{settings.kafka.topic(topic)}/{span}",
            pipeline=pipeline,
            topic=settings.kafka.topic(topic),
            partitions=tuple(range(first, last + 1)),
            group=settings.kafka.group(CONSUMED[topic]),
            lanes=lanes,
            writes=writes if settings.kafka.transactions else None,
            version=cluster.version,
        )
        specs.append(
            ActorSpec(
                name=spec.name,
                plain_class=PartitionConsumer,
                arguments=(spec, settings),
                stage=CONSUMER_STAGE,
                drain_rank=DRAIN_ORDER.index(pipeline),
                version=cluster.version,
                num_cpus=placement.num_cpus,
                resources=placement.resources,
                node_labels=placement.node_labels,
                spread=placement.spread,
            )
        )
    return specs


def _analyzer_actors(
    cluster: Cluster, kind: str, plain: type, placement: AnalyzerPlacement
) -> list[ActorSpec]:
    return [
        ActorSpec(
            name=shard_name(kind, number),
            plain_class=plain,
            arguments=(cluster.settings, Shard(kind, number, cluster.raw_partitions), cluster.version),
            stage=ANALYZER_STAGE,
            drain_rank=DRAIN_ORDER.index("analyzer"),
            version=cluster.version,
            num_cpus=placement.num_cpus,
            num_gpus=placement.num_gpus,
            resources=placement.resources,
            node_labels=placement.node_labels,
            shared=True,
        )
        for number in range(placement.shards)
    ]


def require_gpus(settings: Settings, gpus: Sequence[float]) -> None:
    """Raise UserError if the settings compute on GPUs in a cluster that has none."""
    if settings.technical.device == "cuda" and not gpus:
        raise UserError(
            f"technical.device was cuda, but no node of the Ray cluster at {settings.ray.address} has a GPU:"
            " add one, or set technical.device: cpu"
        )


def fit_to_gpus(specs: Iterable[ActorSpec], gpus: Iterable[float]) -> tuple[list[ActorSpec], list[str]]:
    """Return ``specs`` as they can run on nodes of so many GPUs each, and what there is to say about it.

    Who finds no GPU any more is put on a CPU.
    """
    left = sorted(gpus)
    fitted: list[ActorSpec] = []
    moved: list[str] = []
    for spec in specs:
        if spec.num_gpus:
            node = next((i for i, free in enumerate(left) if free >= spec.num_gpus - 1e-9), None)
            if node is None:
                moved.append(spec.name)
                spec = replace(spec, num_gpus=0.0)
            else:
                left[node] -= spec.num_gpus
        fitted.append(spec)
    if not moved:
        return fitted, []
    # An actor that asks for what no node has would wait for it for ever, in silence.
    lacks = "no GPU is left in this Ray cluster" if left else "this Ray cluster has no GPU"
    return fitted, [f"{lacks}; on CPUs instead: {', '.join(moved)}"]


def analyzer_actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the analyzers. Storage feeds them and analysis asks them, so either pipeline makes them."""
    placement = cluster.settings.placement
    return [
        *_analyzer_actors(cluster, "technical", TechnicalActor, placement.technical),
        *_analyzer_actors(cluster, "sentiment", SentimentActor, placement.sentiment),
    ]


def technical_pool(settings: Settings, raw_partitions: int) -> TechnicalPool:
    """Return the way to the technical shards."""
    return TechnicalPool(_serving(settings, "technical"), settings.ray.namespace, raw_partitions)


def sentiment_pool(settings: Settings) -> SentimentPool:
    """Return the way to the sentiment shards."""
    return SentimentPool(_serving(settings, "sentiment"), settings.ray.namespace)


def _serving(settings: Settings, kind: AnalysisType) -> ServingShards:
    placement: AnalyzerPlacement = getattr(settings.placement, kind)
    return ServingShards(kind, ControlStore(connect(settings.store)), placement.shards)
