"""The watcher: reads results and alerts as they come, and keeps what the summary needs."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter, deque

import msgspec

from vnpulse.demo.sample import Sample
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.lags import LagReader, total_by_topic
from vnpulse.messages import Alert, AnalysisResult
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.topics import ALERTS, RESULTS, load_topics

POLL_MS = 200
LAG_PERIOD_S = 0.5
LAST_ALERTS = 6


class _Source(msgspec.Struct):
    timestamp: int = 0


class _ResultMetadata(msgspec.Struct):
    source: _Source | None = None


class _Article(msgspec.Struct):
    news_id: str


class _Details(msgspec.Struct):
    interval: str = ""
    bar_time: str = ""
    articles: list[_Article] = []


class _ResultBody(msgspec.Struct):
    details: _Details


class _Result(msgspec.Struct):
    """The few fields of a result that are looked at here; decoding only these is ten times faster."""

    result_id: str
    symbol: str
    analysis_type: str
    results: _ResultBody
    metadata: _ResultMetadata


class Watcher:
    """Follows ``analysis_results`` and ``alerts`` on threads of its own, from their beginning.

    Latencies are between broker append times, milliseconds: a raw record's to its result's, and
    to the alert's.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codecs = open_codecs(settings)
        self._stopping = threading.Event()
        self.analysed_bars: set[tuple[str, int]] = set()
        self.analysed_articles: set[str] = set()
        self.result_ids: Counter[str] = Counter()
        self.alert_ids: Counter[str] = Counter()
        self.alerts_by_type: Counter[str] = Counter()
        self.last_alerts: deque[Alert] = deque(maxlen=LAST_ALERTS)
        self.result_latency_ms: list[int] = []
        self.alert_latency_ms: list[int] = []
        self.lags: dict[str, int] = {}
        self.dead_letters = 0
        self.failure: Exception | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._follow_results, self._follow_alerts, self._follow_lags)
        ]

    def start(self) -> None:
        """Begin following."""
        for thread in self._threads:
            thread.start()

    def has_all_of(self, sample: Sample) -> bool:
        """Say whether every bar and article of ``sample`` was analysed and no group lags."""
        return (
            self.analysed_bars >= sample.analysed_bars
            and self.analysed_articles >= sample.article_ids
            and bool(self.lags)
            and not any(self.lags.values())
        )

    def stop(self) -> None:
        """Stop following and wait for the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._codecs.close()

    def _guarded(self, work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except Exception as error:
            # Reported by whoever watches: a thread has nobody to raise to.
            self.failure = error

    def _open(self, topic: str) -> AssignedConsumer:
        partitions = range(load_topics()[topic].partitions)
        return AssignedConsumer(
            self._settings.kafka, self._settings.kafka.topic(topic), partitions, None, "watcher"
        )

    def _follow_results(self) -> None:
        consumer = self._open(RESULTS)
        decode = self._codecs.decoder(_Result, of=AnalysisResult)
        try:
            while not self._stopping.is_set():
                for batch in consumer.poll(POLL_MS):
                    for value, timestamp in zip(batch.values, batch.timestamps.tolist(), strict=True):
                        assert value is not None
                        self._take_result(decode(value), timestamp)
        finally:
            consumer.close()

    def _take_result(self, result: _Result, timestamp: int) -> None:
        details = result.results.details
        self.result_ids[result.result_id] += 1
        if result.analysis_type == "technical":
            bar_ms = int(dt.datetime.fromisoformat(details.bar_time).timestamp() * 1000)
            self.analysed_bars.add((result.symbol, bar_ms))
            if result.metadata.source is not None:
                self.result_latency_ms.append(timestamp - result.metadata.source.timestamp)
        elif details.articles:
            # The article that the result is about comes first; the others were taken into account.
            self.analysed_articles.add(details.articles[0].news_id)

    def _follow_alerts(self) -> None:
        consumer = self._open(ALERTS)
        decode = self._codecs.decoder(Alert)
        try:
            while not self._stopping.is_set():
                for batch in consumer.poll(POLL_MS):
                    for value, timestamp in zip(batch.values, batch.timestamps.tolist(), strict=True):
                        assert value is not None
                        alert = decode(value)
                        self.alert_ids[alert.alert_id] += 1
                        self.alerts_by_type[alert.alert_type] += 1
                        self.last_alerts.append(alert)
                        newest = max(record["timestamp"] for record in alert.data.explanation["inputs"][:-1])
                        self.alert_latency_ms.append(timestamp - newest)
        finally:
            consumer.close()

    def _follow_lags(self) -> None:
        with LagReader(self._settings.kafka) as reader:
            while not self._stopping.wait(LAG_PERIOD_S):
                self.lags = total_by_topic(reader.read())
                self.dead_letters = sum(reader.dead_letters().values())
