"""What the producer over librdkafka does when that library gives up; no broker is needed for it."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka import confluent_producer
from vnpulse.kafka.confluent_producer import ConfluentProducer
from vnpulse.kafka.settings import KafkaSettings


class Library:
    """A producer of the library, which is of no use any more if it is the first one."""

    made: list[Library]

    def __init__(self, options: dict[str, Any]) -> None:
        self.closed = False
        self.sent: list[bytes] = []
        self.made.append(self)

    def produce(self, topic: str, value: bytes, key: bytes, **options: Any) -> None:
        if self is self.made[0]:
            raise KafkaException(KafkaError(KafkaError._FATAL, "Producer epoch lost", True))
        self.sent.append(value)

    def flush(self, timeout_s: float) -> int:
        return 0

    def purge(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_after_an_error_that_is_fatal_to_the_library_there_is_a_new_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Library.made = []
    monkeypatch.setattr(confluent_producer, "Producer", Library)
    producer = ConfluentProducer(KafkaSettings(bootstrap_servers=("one:9092",)), {}, "test")
    with pytest.raises(BrokerUnavailable, match=r"alerts: Kafka at one:9092: _FATAL: Producer epo"):
        producer.send("alerts", "VCB", b"1")
    producer.send("alerts", "VCB", b"1")
    producer.flush()
    given_up, used = Library.made
    assert given_up.closed
    assert used.sent == [b"1"]
