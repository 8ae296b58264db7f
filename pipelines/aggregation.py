"""Aggregation: analysis_results become alerts.

Runs alone with ``python -m pipelines.aggregation --config FILE``.
"""

from __future__ import annotations

from actors.ray_metrics import ray_metrics
from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import Cluster, consumer_actors
from vnpulse.aggregation.aggregator import Aggregator
from vnpulse.aggregation.order import Frontier
from vnpulse.aggregation.rules import load_rules
from vnpulse.clock import SystemClock
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.passage import BrokerOffsets, KafkaPassage
from vnpulse.market import load_market
from vnpulse.messages import AnalysisResult
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.alerts import AlertStore
from vnpulse.store.connection import connect
from vnpulse.streaming.aggregation import ResultHandler
from vnpulse.streaming.outputs import Outputs
from vnpulse.topics import ALERTS, RESULTS


def make_handler(settings: Settings, outputs: Outputs, dead_letters: DeadLetters) -> ResultHandler:
    """Connect a ResultHandler; runs inside the consuming actor."""
    assert outputs.holding is not None  # the only lane: see ``actors``
    codecs = open_codecs(settings)
    clock = SystemClock()
    passage = KafkaPassage(settings.kafka, BrokerOffsets(settings.kafka, "vnpulse-aggregation"), clock)
    companies = SymbolFinder.load(settings.sentiment.companies).companies
    aggregator = Aggregator(
        load_rules(settings.aggregation.rules),
        load_market(settings.aggregation.market),
        {symbol: company.exchange for symbol, company in companies.items()},
    )
    return ResultHandler(
        aggregator=aggregator,
        frontier=Frontier(passage, int(settings.aggregation.wait_s * 1000), clock),
        store=AlertStore(connect(settings.store)),
        outputs=outputs,
        holding=outputs.holding,
        dead_letters=dead_letters,
        alert_topic=settings.kafka.topic(ALERTS),
        clock=clock,
        decode=codecs.decoder(AnalysisResult),
        encode=codecs.encoder(ALERTS),
        metrics=ray_metrics(),
    )


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the actors of this pipeline."""
    placement = cluster.settings.placement.aggregation
    return consumer_actors(cluster, "aggregation", RESULTS, placement, {"": make_handler}, writes=ALERTS)


if __name__ == "__main__":
    main("aggregation")
