"""Analysis: analysis_triggers to the analyzers, their results to analysis_results.

Runs alone with ``python -m pipelines.analysis --config FILE``.
"""

from __future__ import annotations

from functools import partial

from actors.partition_consumer import MakeHandler
from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import (
    Cluster,
    analyzer_actors,
    consumer_actors,
    sentiment_pool,
    technical_pool,
)
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import AnalysisTrigger
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.streaming.analysis import TriggerHandler
from vnpulse.streaming.outputs import Outputs
from vnpulse.topics import RESULTS, TRIGGERS


def make_technical_handler(
    raw_partitions: int, settings: Settings, outputs: Outputs, dead_letters: DeadLetters
) -> TriggerHandler:
    """Connect the handler of what concerns prices; runs inside the consuming actor."""
    pool, topic = technical_pool(settings, raw_partitions), settings.kafka.topic(RESULTS)
    decode = open_codecs(settings).decoder(AnalysisTrigger)
    return TriggerHandler("technical", pool, outputs, dead_letters, topic, decode=decode)


def make_sentiment_handler(settings: Settings, outputs: Outputs, dead_letters: DeadLetters) -> TriggerHandler:
    """Connect the handler of what concerns news; runs inside the consuming actor."""
    pool, topic = sentiment_pool(settings), settings.kafka.topic(RESULTS)
    decode = open_codecs(settings).decoder(AnalysisTrigger)
    return TriggerHandler("sentiment", pool, outputs, dead_letters, topic, decode=decode, keeps_bad=False)


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the actors of this pipeline."""
    placement = cluster.settings.placement.analysis
    lanes: dict[str, MakeHandler] = {
        "technical": partial(make_technical_handler, cluster.raw_partitions),
        "sentiment": make_sentiment_handler,
    }
    return [
        *analyzer_actors(cluster),
        *consumer_actors(cluster, "analysis", TRIGGERS, placement, lanes, writes=RESULTS),
    ]


if __name__ == "__main__":
    main("analysis")
