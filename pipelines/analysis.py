"""Analysis: analysis_triggers to the analyzers, their results to analysis_results.

Runs alone with ``python -m pipelines.analysis --config FILE``.
"""

from __future__ import annotations

from functools import partial

from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import (
    Cluster,
    analyzer_actors,
    consumer_actors,
    make_dead_letters,
    make_producer,
    sentiment_pool,
    technical_pool,
)
from vnpulse.settings import Settings
from vnpulse.streaming.analysis import TriggerHandler
from vnpulse.topics import RESULTS, TRIGGERS


def make_handler(raw_partitions: int, settings: Settings, name: str) -> TriggerHandler:
    """Connect a TriggerHandler; runs inside the consuming actor."""
    producer = make_producer(settings, name)
    return TriggerHandler(
        analyzers={
            "technical": technical_pool(settings, raw_partitions),
            "sentiment": sentiment_pool(settings),
        },
        producer=producer,
        dead_letters=make_dead_letters(producer, name),
        result_topic=settings.kafka.topic(RESULTS),
    )


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the actors of this pipeline."""
    placement = cluster.settings.placement.analysis
    handler = partial(make_handler, cluster.raw_partitions)
    return [
        *analyzer_actors(cluster),
        *consumer_actors(cluster, "analysis", TRIGGERS, placement, handler),
    ]


if __name__ == "__main__":
    main("analysis")
