"""What the cluster at hand gives with a tuning: throughput, latency, and the processor time it takes."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import numpy as np

from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.clients import open_consumer, open_producer
from vnpulse.kafka.protocols import Consumer
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import TopicChange, TopicSpec

PARTITIONS = 3
SPEC = TopicSpec(partitions=PARTITIONS, replication=3, retention_hours=1, compression="snappy")

RECORDS_PER_FLUSH = 10_000
"""A pipeline flushes once a poll; this is a large poll, so that the tuning shows and not the flush."""

LATENCY_RATE_PER_S = 200.0
MOST_LATENCY_RECORDS = 1_000
POLL_MS = 200
STALLED_S = 30.0
STAMP_BYTES = 20


@dataclass(frozen=True, slots=True)
class Measurement:
    """One tuning with one client library. Latency is from send to poll, at 200 records/s, once both run.

    ``cpu_us`` is processor time of this process a record, produced and consumed.
    """

    profile: str
    client: str
    records: int
    record_bytes: int
    produced_per_s: float
    consumed_per_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    produce_cpu_us: float
    consume_cpu_us: float


def measure(settings: KafkaSettings, records: int, record_bytes: int) -> Measurement:
    """Measure ``settings`` with ``records`` of ``record_bytes`` each, on a topic that exists for that long.

    Raises BrokerUnavailable, KafkaRefused.
    """
    with _topic(settings) as topic:
        values = _values(record_bytes)
        began, cpu = time.perf_counter(), time.process_time()
        producer = open_producer(settings, {}, "vnpulse-bench")
        try:
            for i in range(records):
                producer.send(topic, f"S{i % 100}", values[i % len(values)])
                if i % RECORDS_PER_FLUSH == RECORDS_PER_FLUSH - 1:
                    producer.flush()
            producer.flush()
        finally:
            producer.close()
        produce_s, produce_cpu_s = time.perf_counter() - began, time.process_time() - cpu

        began, cpu = time.perf_counter(), time.process_time()
        consumer = _open_at_the_beginning(settings, topic)
        try:
            read, heard = 0, began
            while read < records:
                came = sum(map(len, consumer.poll(POLL_MS)))
                read += came
                now = time.perf_counter()
                if came:
                    heard = now
                elif now - heard > STALLED_S:
                    raise _stalled(read, records)
        finally:
            consumer.close()
        consume_s, consume_cpu_s = time.perf_counter() - began, time.process_time() - cpu
        p50_ms, p99_ms = _latency_ms(settings, topic, min(records // 10, MOST_LATENCY_RECORDS), record_bytes)
    return Measurement(
        profile=settings.profile,
        client=settings.client,
        records=records,
        record_bytes=record_bytes,
        produced_per_s=round(records / produce_s),
        consumed_per_s=round(records / consume_s),
        latency_p50_ms=round(p50_ms, 2),
        latency_p99_ms=round(p99_ms, 2),
        produce_cpu_us=round(produce_cpu_s / records * 1e6, 2),
        consume_cpu_us=round(consume_cpu_s / records * 1e6, 2),
    )


def _stalled(read: int, records: int) -> BrokerUnavailable:
    return BrokerUnavailable(f"bench: {read} of {records} records came, then none for {STALLED_S:g} s")


@contextmanager
def _topic(settings: KafkaSettings) -> Iterator[str]:
    topic = settings.topic(f"bench-{uuid.uuid4().hex[:8]}")
    with KafkaAdmin(settings) as admin:
        admin.apply([TopicChange(topic, "create", "")], {topic: SPEC}, admin.broker_count())
        try:
            yield topic
        finally:
            admin.delete_topics([topic])


def _values(record_bytes: int) -> list[bytes]:
    """Return values that compress about as bars do: text, of which the digits differ."""
    digits = np.random.default_rng(1).integers(0, 10, (1_000, math.ceil(record_bytes / 2)))
    return [("".join(f"{d}," for d in row))[:record_bytes].encode() for row in digits.tolist()]


def _open_at_the_beginning(settings: KafkaSettings, topic: str) -> Consumer:
    consumer = open_consumer(settings, topic, range(PARTITIONS), None, "vnpulse-bench")
    if settings.consumer.auto_offset_reset == "latest":
        for partition, offset in consumer.beginning_offsets().items():
            consumer.seek(partition, offset)
    return consumer


def _latency_ms(settings: KafkaSettings, topic: str, records: int, record_bytes: int) -> tuple[float, float]:
    """Return the median and the 99th percentile from ``send`` to the poll that brings the record."""
    consumer = open_consumer(settings, topic, range(PARTITIONS), None, "vnpulse-bench")
    for partition, offset in consumer.end_offsets().items():
        consumer.seek(partition, offset)
    waits_s: list[float] = []
    ready = Event()

    def read() -> None:
        while not consumer.poll(POLL_MS):
            pass
        ready.set()
        while len(waits_s) < records:
            batches = consumer.poll(POLL_MS)
            now_s = time.perf_counter()
            waits_s.extend(now_s - float(v[:STAMP_BYTES]) for b in batches for v in b.values if v)

    reader = Thread(target=read, name="vnpulse-bench", daemon=True)
    reader.start()
    padding = b" " * max(0, record_bytes - STAMP_BYTES)
    producer = open_producer(settings, {}, "vnpulse-bench")
    try:
        # A producer's first record waits for its id and metadata: half a second that no other waits.
        producer.send(topic, None, b"first")
        producer.flush()
        if not ready.wait(STALLED_S):
            raise _stalled(0, records)
        began = time.perf_counter()
        for i in range(records):
            time.sleep(max(0.0, began + i / LATENCY_RATE_PER_S - time.perf_counter()))
            stamp = f"{time.perf_counter():<{STAMP_BYTES}.9f}"[:STAMP_BYTES]
            producer.send(topic, f"S{i % 100}", stamp.encode() + padding)
        producer.flush()
        reader.join(STALLED_S)
        if reader.is_alive():
            raise _stalled(len(waits_s), records)
    finally:
        producer.close()
        consumer.close()
    p50, p99 = np.percentile(np.array(waits_s) * 1000, [50, 99])
    return float(p50), float(p99)
