"""``vnpulse metrics``: what the broker and the supervisors say, on a Prometheus endpoint.

It needs neither Ray nor JMX. A thread of its own reads every few seconds, so a scrape is answered
at once and costs the broker nothing, however many scrape. While the broker does not answer,
``vnpulse_kafka_up`` is 0 and what it would tell is absent: an old lag is no lag.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from vnpulse.errors import BrokerUnavailable, VnpulseError
from vnpulse.kafka.observer import ClusterReading, KafkaObserver
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.metric_families import CLUSTER_FAMILIES
from vnpulse.store.status import StatusStore
from vnpulse.topics import CONSUMED, load_topics

log = logging.getLogger(__name__)

READING_STALE_S = 20.0
"""A client waits longer than this for a broker that went away; meanwhile its last answer is not repeated."""

STATUS_STALE_S = 10.0
"""The supervisor writes every second; what it has not said for so long is no longer true."""

_Value = tuple[tuple[str, ...], float]

_UNKNOWN: dict[str, list[_Value]] = {"kafka.up": [((), 0.0)]}


@dataclass
class Growth:
    """How much logs have grown: sizes shrink when retention removes segments, and that is no input.

    What is appended between two readings in which a partition also lost a segment is missed.
    """

    _sizes: dict[tuple[str, int], int] = field(default_factory=dict)
    bytes_in: dict[str, int] = field(default_factory=dict)

    def add(self, topic: str, sizes: dict[int, int]) -> None:
        """Take up one reading of the bytes by partition."""
        grown = self.bytes_in.get(topic, 0)
        for partition, size in sizes.items():
            before = self._sizes.get((topic, partition), size)
            grown += max(0, size - before)
            self._sizes[topic, partition] = size
        self.bytes_in[topic] = grown


class Exporter(Collector):
    """Reads, and serves the last reading to scrapes."""

    def __init__(
        self,
        settings: KafkaSettings,
        statuses: StatusStore | None,
        connect: Callable[[KafkaSettings], KafkaObserver] = KafkaObserver,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Without ``statuses`` nothing is said about the store and actors."""
        self._settings = settings
        self._connect = connect
        self._now = now
        self._read_at = 0.0
        self._stale_after_s = READING_STALE_S
        self._statuses = statuses
        self._topics = [settings.topic(name) for name in load_topics()]
        self._groups: dict[str, list[str]] = {}
        for topic, group in CONSUMED.items():
            self._groups.setdefault(settings.group(group), []).append(settings.topic(topic))
        self._observer: KafkaObserver | None = None
        self._growth = Growth()
        self._values = _UNKNOWN
        self._failing: set[str] = set()

    def registry(self) -> CollectorRegistry:
        """Return a registry with nothing but this."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def run(self, period_s: float, stopping: threading.Event) -> None:
        """Read every ``period_s`` seconds until ``stopping``."""
        self._stale_after_s = READING_STALE_S + period_s
        while not stopping.is_set():
            began = self._now()
            self.read()
            stopping.wait(max(0.0, period_s - (self._now() - began)))
        self.close()

    def close(self) -> None:
        """Let go of the broker; ``read`` would connect again."""
        observer, self._observer = self._observer, None
        if observer is not None:
            with suppress(VnpulseError):
                observer.close()

    def read(self) -> None:
        """Read once. What does not answer is noted, never raised."""
        values: dict[str, list[_Value]] = {}
        try:
            if self._observer is None:
                self._observer = self._connect(self._settings)
            values |= self._of_kafka(self._observer.observe(self._topics, self._groups))
            values["kafka.up"] = [((), 1.0)]
            self._failing.discard("kafka")
        except VnpulseError as error:
            values["kafka.up"] = [((), 0.0)]
            if isinstance(error, BrokerUnavailable):
                self.close()
            self._warn_once("kafka", error)
        if self._statuses is not None:
            try:
                values |= _of_actors(self._statuses.read(), time.time())
                values["store.up"] = [((), 1.0)]
                self._failing.discard("store")
            except VnpulseError as error:
                values["store.up"] = [((), 0.0)]
                self._warn_once("store", error)
        self._values, self._read_at = values, self._now()

    def _warn_once(self, part: str, error: VnpulseError) -> None:
        """Log the first of a row of failures: the metrics say the rest."""
        if part not in self._failing:
            log.warning("%s", error)
        self._failing.add(part)

    def _of_kafka(self, reading: ClusterReading) -> dict[str, list[_Value]]:
        lags = [((row.group, row.topic, str(row.partition)), row) for row in reading.lags]
        for topic in reading.topics:
            self._growth.add(topic.topic, topic.sizes)
        sized = [t for t in reading.topics if t.sizes]
        return {
            "kafka.brokers": [((), reading.brokers)],
            "kafka.group.lag": [(labels, row.lag) for labels, row in lags],
            "kafka.group.committed": [
                (labels, row.committed) for labels, row in lags if row.committed is not None
            ],
            "kafka.group.expired": [(labels, row.expired) for labels, row in lags],
            "kafka.topic.messages_in": [
                ((t.topic, str(p)), end) for t in reading.topics for p, end in t.ends.items()
            ],
            "kafka.topic.records": [
                ((t.topic,), sum(t.ends.values()) - sum(t.begins.values())) for t in reading.topics
            ],
            "kafka.topic.size": [((t.topic,), sum(t.sizes.values())) for t in sized],
            "kafka.topic.bytes_in": [((t.topic,), self._growth.bytes_in[t.topic]) for t in sized],
            "kafka.topic.under_replicated": [((t.topic,), t.under_replicated) for t in reading.topics],
            "kafka.topic.offline": [((t.topic,), t.offline) for t in reading.topics],
        }

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the last reading, as prometheus_client wants it."""
        fresh = self._now() - self._read_at <= self._stale_after_s
        values = self._values if fresh else _UNKNOWN
        for family in CLUSTER_FAMILIES:
            if family.name not in values:
                continue
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            exported = kind(family.exported, family.about, labels=family.labels)
            for labels, value in values[family.name]:
                exported.add_metric(labels, value)
            yield exported


def _of_actors(rows: list[dict[str, Any]], now_s: float) -> dict[str, list[_Value]]:
    def runs(row: dict[str, Any]) -> bool:
        return bool(row["status"] == "running" and now_s - row["updated_s"] < STATUS_STALE_S)

    return {
        "actor.running": [((str(row["name"]),), float(runs(row))) for row in rows],
        "actor.restarts": [((str(row["name"]),), float(row["restarts"])) for row in rows],
    }
