"""From configs/sources.yaml to collectors that are connected and ready to step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import httpx2

from vnpulse.clock import SystemClock
from vnpulse.collection.article_lead import ArticleLead
from vnpulse.collection.company_news import CompanyNews
from vnpulse.collection.fallback import FallbackMarket
from vnpulse.collection.file_source import FileMarket, FileNews
from vnpulse.collection.loop import Collector
from vnpulse.collection.news_collector import NewsCollector
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.pace import TokenBucket
from vnpulse.collection.price_collector import PriceCollector
from vnpulse.collection.rss import RssFeed
from vnpulse.collection.schedule import Schedule
from vnpulse.collection.scheduler import Scheduler
from vnpulse.collection.settings import NewsSettings, PriceSettings, SourcesFile
from vnpulse.collection.sources import MarketSource, NewsSource
from vnpulse.collection.vnstock_market import VnstockMarket
from vnpulse.collection.vnstock_process import VnstockProcess
from vnpulse.configuration import load_model
from vnpulse.errors import UserError
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.market import Exchange, load_market
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.alerts import AlertStore
from vnpulse.store.collection import CollectionStore
from vnpulse.store.connection import connect
from vnpulse.topics import load_topics
from vnpulse.trading_calendar import TradingCalendar

KINDS = ("prices", "news", "schedule")
"""The collectors, by their sections in configs/sources.yaml."""

Say = Callable[[str], None]

_Section = TypeVar("_Section")


def load_sources(path: Path, environment: Mapping[str, str] = os.environ) -> SourcesFile:
    """Read the file at ``path``; VNSTOCK_API_KEY of the environment goes in. Raises SettingsError."""
    key = environment.get("VNSTOCK_API_KEY")
    return load_model(path, SourcesFile, {"vnstock.api_key": key} if key else None)


class Assembly:
    """Makes collectors of ``sources`` for a deployment; ``settings`` are resolved.

    ``stopping`` ends waits; ``say`` gets one line when an environment for vnstock is made.
    """

    def __init__(self, settings: Settings, sources: SourcesFile, stopping: threading.Event, say: Say) -> None:
        self.clock = SystemClock()
        self.calendar = TradingCalendar(load_market(settings.aggregation.market))
        self._settings = settings
        self._sources = sources
        self._stopping = stopping
        self._say = say

    def configured(self) -> list[str]:
        """Return the kinds of collectors that the file has a section for."""
        return [kind for kind in KINDS if getattr(self._sources, kind) is not None]

    def collector(self, kind: str) -> Collector:
        """Return the collector of ``kind``. Raises UserError for what the file lacks or gets wrong."""
        if kind == "prices":
            return self.prices()
        if kind == "news":
            return self.news()
        return self.scheduler()

    def prices(self) -> PriceCollector:
        """Return the collector of prices."""
        settings = self._section("prices", self._sources.prices)
        return PriceCollector(
            settings,
            self._sources.vnstock.calls_per_minute,
            self.market(settings),
            self.exchanges(settings.symbols),
            self.calendar,
            self.outbox("prices"),
            self.store(),
            AlertStore(connect(self._settings.store)),
            self.clock,
        )

    def news(self) -> NewsCollector:
        """Return the collector of news."""
        settings = self._section("news", self._sources.news)
        return NewsCollector(self._news_sources(settings), self.outbox("news"), self.store(), self.clock)

    def scheduler(self) -> Scheduler:
        """Return the scheduler."""
        settings = self._section("schedule", self._sources.schedule)
        of_prices = self._sources.prices.symbols if self._sources.prices else ()
        return Scheduler(
            Schedule(settings, self.calendar),
            settings.misfire_grace_minutes * 60_000,
            sorted(self.exchanges(of_prices)),
            self.outbox("schedule"),
            self.store(),
            self.clock,
        )

    def market(self, settings: PriceSettings) -> FallbackMarket:
        """Return the sources of prices, in order; vnstock's share one process."""
        process = self._vnstock()
        sources: list[MarketSource] = []
        for name in settings.sources:
            if name == "file":
                if settings.file is None:
                    raise UserError("prices.sources names file, but prices.file is not given")
                sources.append(FileMarket(settings.file, self.clock))
            else:
                sources.append(VnstockMarket(name.upper(), process, self.clock))
        return FallbackMarket(sources, self.clock)

    def exchanges(self, symbols: tuple[str, ...]) -> dict[str, Exchange]:
        """Return the exchange of each of ``symbols``; of all companies without any. Raises UserError."""
        finder = SymbolFinder.load(self._settings.sentiment.companies)
        known: dict[str, Exchange] = {
            symbol: company.exchange
            for symbol, company in finder.companies.items()
            if symbol != finder.market
        }
        unknown = sorted(set(symbols) - known.keys())
        if unknown:
            raise UserError(
                f"symbols without an exchange: {', '.join(unknown)};"
                f" add them to {self._settings.sentiment.companies}, their hours depend on it"
            )
        return {symbol: known[symbol] for symbol in symbols} if symbols else known

    def outbox(self, name: str) -> Outbox:
        """Return a way out with a producer of its own."""
        producer = StockKafkaProducer(self._settings.kafka, load_topics(), f"collection-{name}")
        dead_letters = DeadLetters(PlainOutputs(producer), f"collection/{name}")
        from_json = open_codecs(self._settings).from_json
        return Outbox(producer, dead_letters, self._settings.kafka, self.clock, from_json)

    def store(self) -> CollectionStore:
        """Return where collectors keep their state."""
        return CollectionStore(connect(self._settings.store))

    def _news_sources(self, settings: NewsSettings) -> list[tuple[NewsSource, float]]:
        client = httpx2.Client(
            headers={"User-Agent": settings.user_agent}, follow_redirects=True, timeout=settings.timeout_s
        )
        lead = ArticleLead(client, settings.user_agent) if any(feed.lead for feed in settings.feeds) else None
        sources: list[tuple[NewsSource, float]] = [
            (
                RssFeed(feed, client, settings.timeout_s, self.clock, lead if feed.lead else None),
                float(feed.every_s),
            )
            for feed in settings.feeds
        ]
        sources += [(FileNews(path, self.clock), 60.0) for path in settings.files]
        symbols = settings.company_news.symbols
        if symbols:
            every_s = settings.company_news.every_hours * 3_600 / len(symbols)
            sources.append((CompanyNews(symbols, self._vnstock(), self.clock), every_s))
        return sources

    def _vnstock(self) -> VnstockProcess:
        settings = self._sources.vnstock
        bucket = TokenBucket(settings.calls_per_minute, self.clock, self.pause)
        return VnstockProcess(settings, bucket, self.clock, self._say)

    def pause(self, wait_ms: int) -> None:
        """Wait, unless told to stop."""
        self._stopping.wait(wait_ms / 1000)

    def _section(self, name: str, section: _Section | None) -> _Section:
        if section is None:
            raise UserError(f"{self._settings.collection.sources}: has no section {name}")
        return section
