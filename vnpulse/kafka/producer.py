"""The producer of the design document: batched, idempotent unless tuned otherwise; errors show at flush."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

from kafka import KafkaProducer
from kafka.errors import KafkaError

from vnpulse.kafka.by_codec import ByCodec
from vnpulse.kafka.client_sensors import REQUEST_LATENCY, observe
from vnpulse.kafka.connection import LOST_COUNT, client_options, translated
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.metrics import NO_METRICS, Metrics
from vnpulse.streaming.outputs import Headers
from vnpulse.topics import TopicSpec

FLUSH_TIMEOUT_S = 60.0
MAX_REQUEST_BYTES = 8_388_608
"""Larger than any topic's max.message.bytes, so that the broker's limit decides and is named."""

MAX_BLOCK_MS = 15_000
"""How long a send waits for a topic's metadata: a topic that is not there by then does not exist."""


class Unflushed:
    """What was queued since the last flush, by topic, and what became of it."""

    def __init__(self) -> None:
        self.bytes = 0
        self.error: BaseException | None = None
        self._records: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._since: dict[str, float] = {}

    def add(self, topic: str, size: int) -> None:
        """Count one record of ``size`` bytes."""
        self.bytes += size
        self._records[topic] += 1
        if topic not in self._since:
            self._since[topic] = time.perf_counter()

    def failed(self, topic: str, error: BaseException) -> None:
        """Note that one record did not arrive; called on the sender's thread."""
        # After a record that is refused, those behind it are out of order for the broker.
        if self.error is None or isinstance(self.error, LOST_COUNT):
            self.error = error
        self._failures[topic] += 1

    def report(self, metrics: Metrics, answered: bool) -> None:
        """Say how it went; without an answer from the broker, every record counts as failed."""
        now = time.perf_counter()
        for topic, records in self._records.items():
            failed = self._failures[topic] if answered else records
            if failed:
                metrics.increment("kafka.producer.error", failed, topic=topic)
            if records > failed:
                metrics.increment("kafka.producer.success", records - failed, topic=topic)
                metrics.timing("kafka.producer.latency", now - self._since[topic], topic=topic)


class StockKafkaProducer:
    """Sends keyed bytes to topics, each with the compression that configs/topics.yaml gives it.

    ``send`` only queues. ``flush`` returns when everything queued is on the broker, or raises for
    the first record that is not; an offset whose effects went through here may be committed only
    after ``flush`` returned. A raised error leaves the producer usable: send everything since the
    last ``flush`` again.

    At most ``producer.buffer_memory`` bytes are queued: the ``send`` that reaches it flushes, so a
    broker that is slow slows its callers down, and such a ``send`` raises what ``flush`` raises.
    (kafka-python 3 has no such bound of its own any more.)

    What the design document measures around each record is measured here once a flush and topic:
    ``kafka.producer.success`` and ``.error`` count records, ``kafka.producer.latency`` is the time from
    the first ``send`` to a topic until all of them were acknowledged.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Mapping[str, TopicSpec],
        client_id: str,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._client_id = client_id
        self._producers = ByCodec(settings, topics, self._connect)
        self._unflushed = Unflushed()

    def _connect(self, codec: str) -> KafkaProducer:
        tuning = self._settings.producer
        producer = KafkaProducer(
            **client_options(self._settings, f"{self._client_id}-{codec}"),
            acks=tuning.acks,
            enable_idempotence=tuning.idempotent,
            max_in_flight_requests_per_connection=tuning.max_in_flight_requests_per_connection,
            retries=tuning.retries,
            batch_size=tuning.batch_size,
            linger_ms=tuning.linger_ms,
            request_timeout_ms=tuning.request_timeout_ms,
            delivery_timeout_ms=tuning.delivery_timeout_ms,
            compression_type=None if codec == "none" else codec,
            max_request_size=MAX_REQUEST_BYTES,
            max_block_ms=MAX_BLOCK_MS,
        )
        observe(producer, REQUEST_LATENCY, self._answered)
        return producer

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        on_append: Callable[[int, int, int], None] | None = None,
    ) -> None:
        """Queue one record; ``headers`` are (name, bytes) pairs.

        ``on_append(partition, offset, timestamp_ms)`` runs on the sender's thread when the broker
        has the record.
        """
        raw_key = key.encode() if isinstance(key, str) else key
        with translated(self._settings, f"produce to {topic}"):
            future = self._producers.of(topic).send(topic, key=raw_key, value=value, headers=list(headers))
        unflushed = self._unflushed
        future.add_errback(unflushed.failed, topic)
        if on_append is not None:
            future.add_callback(lambda m: on_append(m.partition, m.offset, m.timestamp))
        unflushed.add(topic, len(value or b"") + len(raw_key or b""))
        if unflushed.bytes >= self._settings.producer.buffer_memory:
            self.flush()

    def _answered(self, seconds: float) -> None:
        self._metrics.timing("kafka.producer.request_latency", seconds)

    def flush(self) -> None:
        """Wait until every queued record is acknowledged. Raises BrokerUnavailable or KafkaRefused."""
        flushed, self._unflushed = self._unflushed, Unflushed()
        with translated(self._settings, "flush"):
            try:
                for producer in self._producers.made():
                    producer.flush(timeout=FLUSH_TIMEOUT_S)
            except KafkaError:
                flushed.report(self._metrics, answered=False)
                raise
            flushed.report(self._metrics, answered=True)
            if flushed.error is not None:
                # An idempotent producer that was refused one record fails for all that follow.
                for producer in self._producers.take():
                    with suppress(KafkaError):
                        producer.close(timeout=0)
                raise flushed.error

    def close(self) -> None:
        """Flush what is queued and leave the broker. Raises BrokerUnavailable or KafkaRefused."""
        with translated(self._settings, "flush"):
            for producer in self._producers.take():
                producer.close(timeout=FLUSH_TIMEOUT_S)
