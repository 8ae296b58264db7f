"""What every pipeline needs to describe its actors."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

from actors.analyzers import SentimentActor, Shard, TechnicalActor, shard_name
from actors.gpu_watch import ON_CPU, STARTING
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


def require_gpus(settings: Settings, gpus: Mapping[str, float]) -> None:
    """Raise UserError if the settings compute on GPUs in a cluster that has none."""
    if settings.technical.device == "cuda" and not gpus:
        raise UserError(
            f"technical.device was cuda, but no node of the Ray cluster at {settings.ray.address} has a GPU:"
            " add one, or set technical.device: cpu"
        )


def fit_to_gpus(
    specs: Sequence[ActorSpec], gpus: Mapping[str, float], seats: Mapping[str, str]
) -> tuple[list[ActorSpec], list[str]]:
    """Return ``specs`` as they can run on nodes of so many GPUs each, and what there is to say about it.

    Who has a GPU by ``seats`` (see GpuWatch) keeps it; who starts on one comes next, then who is new. Who
    finds none any more, or is not to get one, is put on a CPU.
    """
    # Last those that are not to get one: whether there is none for them either is to be said.
    turns = (STARTING, None, ON_CPU)
    free = {node: [1.0] * round(gpus[node]) for node in sorted(gpus, key=lambda node: gpus[node])}
    seated = [spec for spec in specs if spec.num_gpus and seats.get(spec.name) not in turns]
    for spec in seated:
        _take(free.get(seats[spec.name], []), spec.num_gpus)
    on_gpus, without = {spec.name for spec in seated}, set()
    others = [spec for spec in specs if spec.num_gpus and spec.name not in on_gpus]
    for spec in sorted(others, key=lambda spec: turns.index(seats.get(spec.name))):
        if not any(_take(of_node, spec.num_gpus) for of_node in free.values()):
            without.add(spec.name)
        elif seats.get(spec.name) != ON_CPU:
            on_gpus.add(spec.name)
    fitted = [_on_cpu(s) if s.num_gpus and s.name not in on_gpus else s for s in specs]
    if not without:
        return fitted, []
    # An actor that asks for what no node has would wait for it for ever, in silence.
    lacks = "no GPU is left in this Ray cluster" if gpus else "this Ray cluster has no GPU"
    return fitted, [f"{lacks}; on CPUs instead: {', '.join(s.name for s in specs if s.name in without)}"]


def _take(gpus: list[float], amount: float) -> bool:
    """Take a share of one of a node's GPUs, or several whole ones, as Ray does; False if there is no room."""
    most_used_first = sorted(range(len(gpus)), key=lambda gpu: gpus[gpu])
    enough = [gpu for gpu in most_used_first if gpus[gpu] >= min(amount, 1.0) - 1e-9]
    count = math.ceil(amount)
    if len(enough) < count:
        return False
    for gpu in enough[:count]:
        gpus[gpu] -= min(amount, 1.0)
    return True


def _on_cpu(spec: ActorSpec) -> ActorSpec:
    """Return an analyzer that neither asks for a GPU nor computes on one, whatever the settings say."""
    settings, *others = spec.arguments
    on_cpu = {
        "technical": settings.technical.model_copy(update={"device": "cpu"}),
        "sentiment": settings.sentiment.model_copy(
            update={"device": "cpu", "dtype": "auto", "compile": False}
        ),
    }
    return replace(spec, num_gpus=0.0, arguments=(settings.model_copy(update=on_cpu), *others))


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
