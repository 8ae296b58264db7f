"""Storage: stock_prices_raw and stock_news_raw into the store and the analyzers, then triggers.

Runs alone with ``python -m pipelines.storage --config FILE``.
"""

from __future__ import annotations

from functools import partial

from actors.ray_port import ActorSpec
from pipelines.runtime import main
from pipelines.wiring import (
    Cluster,
    analyzer_actors,
    consumer_actors,
    sentiment_pool,
    technical_pool,
)
from vnpulse.clock import SystemClock
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import NewsItem, PriceBar
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.news import NewsStore
from vnpulse.streaming.outputs import Outputs
from vnpulse.streaming.storage import NewsHandler, PriceHandler
from vnpulse.topics import NEWS, PRICES, TRIGGERS


def make_price_handler(
    raw_partitions: int, settings: Settings, outputs: Outputs, dead_letters: DeadLetters
) -> PriceHandler:
    """Connect a PriceHandler; runs inside the consuming actor."""
    codecs = open_codecs(settings)
    return PriceHandler(
        store=BarStore(connect(settings.store)),
        technical=technical_pool(settings, raw_partitions),
        outputs=outputs,
        dead_letters=dead_letters,
        trigger_topic=settings.kafka.topic(TRIGGERS),
        clock=SystemClock(),
        analysed_intervals=settings.technical.intervals,
        decode=codecs.decoder(PriceBar),
        encode=codecs.encoder(TRIGGERS),
    )


def make_news_handler(settings: Settings, outputs: Outputs, dead_letters: DeadLetters) -> NewsHandler:
    """Connect a NewsHandler; runs inside the consuming actor."""
    codecs = open_codecs(settings)
    return NewsHandler(
        store=NewsStore(connect(settings.store)),
        sentiment=sentiment_pool(settings),
        outputs=outputs,
        dead_letters=dead_letters,
        trigger_topic=settings.kafka.topic(TRIGGERS),
        clock=SystemClock(),
        symbols_of=SymbolFinder.load(settings.sentiment.companies).symbols_of,
        decode=codecs.decoder(NewsItem),
        encode=codecs.encoder(TRIGGERS),
    )


def actors(cluster: Cluster) -> list[ActorSpec]:
    """Return the actors of this pipeline."""
    placement = cluster.settings.placement
    prices = partial(make_price_handler, cluster.raw_partitions)
    return [
        *analyzer_actors(cluster),
        *consumer_actors(cluster, "storage", PRICES, placement.prices, {"": prices}),
        *consumer_actors(cluster, "storage", NEWS, placement.news, {"": make_news_handler}),
    ]


if __name__ == "__main__":
    main("storage")
