"""The producer of the design document: acks=all, idempotent, batched; errors surface at flush."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from vnpulse.kafka.connection import client_options, translated
from vnpulse.settings import KafkaSettings
from vnpulse.topics import TopicSpec

FLUSH_TIMEOUT_S = 60.0
MAX_REQUEST_BYTES = 8_388_608
"""Larger than any topic's max.message.bytes, so that the broker's limit decides and is named."""

MAX_BLOCK_MS = 15_000
"""How long a send waits for a topic's metadata: a topic that is not there by then does not exist."""

Headers = Iterable[tuple[str, bytes]]


class StockKafkaProducer:
    """Sends keyed bytes to topics, each with the compression that configs/topics.yaml gives it.

    ``send`` only queues. ``flush`` returns when everything queued is on the broker, or raises for
    the first record that is not; an offset whose effects went through here may be committed only
    after ``flush`` returned. A raised error leaves the producer usable: send everything since the
    last ``flush`` again.

    kafka-python compresses per producer, so one is kept for each codec, made at first use. The
    design document's ``buffer_memory`` no longer exists in kafka-python 3: batches in flight are
    bounded by flushing after every poll.
    """

    def __init__(self, settings: KafkaSettings, topics: Mapping[str, TopicSpec], client_id: str) -> None:
        self._settings = settings
        self._codecs = {settings.topic(name): spec.compression for name, spec in topics.items()}
        self._client_id = client_id
        self._producers: dict[str, KafkaProducer] = {}
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def _producer(self, topic: str) -> KafkaProducer:
        codec = self._codecs.get(topic, "none")
        producer = self._producers.get(codec)
        if producer is None:
            with self._lock:
                producer = self._producers.get(codec)
                if producer is None:
                    tuning = self._settings.producer
                    with translated(self._settings, f"produce to {topic}"):
                        producer = KafkaProducer(
                            **client_options(self._settings, f"{self._client_id}-{codec}"),
                            acks="all",
                            enable_idempotence=True,
                            retries=tuning.retries,
                            batch_size=tuning.batch_size,
                            linger_ms=tuning.linger_ms,
                            delivery_timeout_ms=tuning.delivery_timeout_ms,
                            compression_type=None if codec == "none" else codec,
                            max_request_size=MAX_REQUEST_BYTES,
                            max_block_ms=MAX_BLOCK_MS,
                        )
                    self._producers[codec] = producer
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
            future = self._producer(topic).send(topic, key=raw_key, value=value, headers=list(headers))
        future.add_errback(self._failed)
        if on_append is not None:
            future.add_callback(lambda m: on_append(m.partition, m.offset, m.timestamp))

    def _failed(self, error: BaseException, *_: Any) -> None:
        self._failure = error

    def flush(self) -> None:
        """Wait until every queued record is acknowledged. Raises BrokerUnavailable or KafkaRefused."""
        with translated(self._settings, "flush"):
            for producer in self._producers.values():
                producer.flush(timeout=FLUSH_TIMEOUT_S)
            failure, self._failure = self._failure, None
            if failure is not None:
                # An idempotent producer that was refused one record fails for all that follow.
                self._drop_producers()
                raise failure

    def _drop_producers(self) -> None:
        """Give up what is queued; the next ``send`` makes new producers."""
        producers, self._producers = list(self._producers.values()), {}
        for producer in producers:
            with suppress(KafkaError):
                producer.close(timeout=0)

    def close(self) -> None:
        """Flush what is queued and leave the broker."""
        for producer in self._producers.values():
            producer.close(timeout=FLUSH_TIMEOUT_S)
        self._producers.clear()
