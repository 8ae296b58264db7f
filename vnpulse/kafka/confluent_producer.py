"""StockKafkaProducer's contract on confluent-kafka, which batches, compresses and sends in C."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from vnpulse.kafka.by_codec import ByCodec
from vnpulse.kafka.confluent_connection import (
    Failures,
    has_lost_count,
    librdkafka_options,
    on_statistics,
    translated,
)
from vnpulse.kafka.producer import FLUSH_TIMEOUT_S, MAX_BLOCK_MS, MAX_REQUEST_BYTES, Unflushed
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.metrics import NO_METRICS, Metrics
from vnpulse.topics import TopicSpec

QUEUED_RECORDS = 10_000_000
"""The library's own bound by number is far above ours by bytes."""


class ConfluentProducer:
    """Sends keyed bytes to topics; see StockKafkaProducer, which this stands in for.

    What the library was told to deliver and could not is reported in ``flush``.
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
        self._failures = Failures()
        self._unflushed = Unflushed()

    def _connect(self, codec: str) -> Producer:
        tuning = self._settings.producer
        options = librdkafka_options(self._settings, f"{self._client_id}-{codec}") | {
            "acks": tuning.acks,
            "enable.idempotence": tuning.idempotent,
            "max.in.flight.requests.per.connection": tuning.max_in_flight_requests_per_connection,
            "retries": tuning.retries,
            "batch.size": max(1, tuning.batch_size),
            "linger.ms": tuning.linger_ms,
            "request.timeout.ms": tuning.request_timeout_ms,
            "message.timeout.ms": tuning.delivery_timeout_ms,
            "message.max.bytes": MAX_REQUEST_BYTES,
            "topic.metadata.propagation.max.ms": MAX_BLOCK_MS,
            "compression.type": codec,
            # As every other client computes it; the library's own default is another hash.
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": QUEUED_RECORDS,
            "queue.buffering.max.kbytes": 2 * self._settings.producer.buffer_memory // 1024,
            "error_cb": self._failures.heard,
            "stats_cb": on_statistics(self._answered),
        }
        return Producer(options)

    def _answered(self, seconds: float) -> None:
        self._metrics.timing("kafka.producer.request_latency", seconds)

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
        on_append: Callable[[int, int, int], None] | None = None,
    ) -> None:
        """Queue one record. See StockKafkaProducer; ``on_append`` runs in ``flush``."""
        raw_key = key.encode() if isinstance(key, str) else key
        unflushed = self._unflushed

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                unflushed.failed(topic, KafkaException(error))
            elif on_append is not None:
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                on_append(partition, offset, message.timestamp()[1])

        with self._translated(f"produce to {topic}"):
            self._producers.of(topic).produce(
                topic, value, raw_key, headers=list(headers), on_delivery=delivered
            )
        unflushed.add(topic, len(value or b"") + len(raw_key or b""))
        if unflushed.bytes >= self._settings.producer.buffer_memory:
            self.flush()

    def flush(self) -> None:
        """Wait until every queued record is acknowledged. Raises BrokerUnavailable or KafkaRefused."""
        flushed, self._unflushed = self._unflushed, Unflushed()
        with self._translated("flush"):
            for producer in self._producers.made():
                if producer.flush(FLUSH_TIMEOUT_S):
                    # The caller sends everything again; the rest of this would only come on top.
                    producer.purge()
                    producer.flush(FLUSH_TIMEOUT_S)
            flushed.report(self._metrics, answered=True)
            if flushed.error is not None:
                raise flushed.error

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        with translated(self._settings, doing, self._failures):
            try:
                yield
            except KafkaException as raised:
                if has_lost_count(raised.args[0]):
                    for producer in self._producers.take():
                        producer.purge()
                        producer.close()
                raise

    def close(self) -> None:
        """Flush what is queued and leave the broker."""
        for producer in self._producers.take():
            producer.flush(FLUSH_TIMEOUT_S)
            producer.close()
