"""A round trip through the broker, with a deadline for all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from threading import Thread

from kafka import KafkaProducer

from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.connection import client_options, translated
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import HEALTH_TOPIC, TopicChange, TopicSpec

HEALTH_SPEC = TopicSpec(partitions=1, replication=3, retention_hours=1, compression="none")

DEADLINE_S = 10.0
POLL_MS = 200


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How long the broker took to take a record and to give it back, milliseconds."""

    produce_ms: float
    consume_ms: float


def round_trip(settings: KafkaSettings, deadline_s: float = DEADLINE_S) -> RoundTrip:
    """Produce one record to ``health-check`` and read it back.

    Creates the topic if it is missing. Raises KafkaRefused, and BrokerUnavailable at the latest when
    ``deadline_s`` has passed, whatever the client is waiting for then.
    """
    doing = ["connecting"]
    answer: Future[RoundTrip] = Future()

    def attempt() -> None:
        try:
            answer.set_result(_round_trip(settings, deadline_s, doing.append))
        except BaseException as error:
            answer.set_exception(error)

    # The clients have a timeout for each step and none for all of them; a thread can be left behind.
    Thread(target=attempt, name="health-check", daemon=True).start()
    try:
        return answer.result(deadline_s)
    except NotYet:
        where = ", ".join(settings.bootstrap_servers)
        raise BrokerUnavailable(
            f"health check: Kafka at {where} did not answer within {deadline_s:g} s ({doing[-1]})"
        ) from None


def _round_trip(settings: KafkaSettings, deadline_s: float, say: Callable[[str], None]) -> RoundTrip:
    topic = settings.topic(HEALTH_TOPIC)
    with KafkaAdmin(settings) as admin:
        say(f"looking for topic {topic}")
        if not admin.topics([topic]):
            say(f"creating topic {topic}")
            admin.apply([TopicChange(topic, "create", "")], {topic: HEALTH_SPEC}, admin.broker_count())
    say(f"producing to {topic}")
    with translated(settings, f"health check: produce to {topic}"):
        producer = KafkaProducer(**client_options(settings, "vnpulse-health"), linger_ms=0)
        try:
            began = time.perf_counter()
            sent = producer.send(topic, value=str(time.time_ns()).encode()).get(timeout=deadline_s)
            produce_s = time.perf_counter() - began
        finally:
            producer.close(timeout=0)
    say(f"consuming record {sent.offset} of {topic}")
    consumer = AssignedConsumer(settings, topic, [0], None, "vnpulse-health")
    try:
        consumer.seek(0, sent.offset)
        began = time.perf_counter()
        while time.perf_counter() - began < deadline_s:
            if any(sent.offset in batch.offsets for batch in consumer.poll(POLL_MS)):
                return RoundTrip(produce_s * 1000, (time.perf_counter() - began) * 1000)
    finally:
        consumer.close()
    raise BrokerUnavailable(
        f"health check: record {sent.offset} of {topic} did not come back in {deadline_s:g} s"
    )
