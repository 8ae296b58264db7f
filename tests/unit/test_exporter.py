"""What the exporter says while the broker is away, and how growth is counted."""

from __future__ import annotations

import threading

from vnpulse.errors import BrokerUnavailable
from vnpulse.exporter import Exporter, Growth
from vnpulse.kafka.admin import PartitionLag
from vnpulse.kafka.observer import ClusterReading, KafkaObserver
from vnpulse.kafka.settings import KafkaSettings


class FlakyObserver(KafkaObserver):
    """Answers while ``answers``."""

    answers = True

    def __init__(self, settings: KafkaSettings) -> None:
        pass

    def observe(self, topics: object, groups: object) -> ClusterReading:
        if not self.answers:
            raise BrokerUnavailable("observe: Kafka at kafka:9092 does not answer")
        return ClusterReading(3, [], [PartitionLag("readers", "alerts", 0, 0, 7, 2)])

    def close(self) -> None:
        pass


def test_what_the_broker_said_before_it_went_away_is_not_repeated() -> None:
    exporter = Exporter(KafkaSettings(), None, FlakyObserver)
    registry = exporter.registry()
    lag = {"group": "readers", "topic": "alerts", "partition": "0"}
    assert registry.get_sample_value("vnpulse_kafka_up") == 0, "nothing was read yet"
    exporter.read()
    assert registry.get_sample_value("vnpulse_kafka_up") == 1
    assert registry.get_sample_value("vnpulse_kafka_group_lag", lag) == 5
    FlakyObserver.answers = False  # as a restart does it
    try:
        exporter.read()
    finally:
        FlakyObserver.answers = True
    assert registry.get_sample_value("vnpulse_kafka_up") == 0
    assert registry.get_sample_value("vnpulse_kafka_group_lag", lag) is None
    exporter.read()
    assert registry.get_sample_value("vnpulse_kafka_group_lag", lag) == 5


def test_a_reading_that_takes_too_long_is_as_good_as_none() -> None:
    now_s = [100.0]
    exporter = Exporter(KafkaSettings(), None, FlakyObserver, lambda: now_s[0])
    registry = exporter.registry()
    exporter.read()
    now_s[0] += 19
    assert registry.get_sample_value("vnpulse_kafka_up") == 1
    now_s[0] += 2
    assert registry.get_sample_value("vnpulse_kafka_up") == 0
    assert "vnpulse_kafka_group_lag" not in {family.name for family in registry.collect()}


def test_reading_ends_when_told_to() -> None:
    stopping = threading.Event()
    stopping.set()
    Exporter(KafkaSettings(), None, FlakyObserver).run(1, stopping)


def test_a_log_that_shrinks_has_lost_old_segments_and_gained_nothing() -> None:
    growth = Growth()
    for sizes in ({0: 100, 1: 50}, {0: 150, 1: 20}, {0: 150, 1: 40, 2: 500}):
        growth.add("alerts", sizes)
    assert growth.bytes_in == {"alerts": 50 + 20}
