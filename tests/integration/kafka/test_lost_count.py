"""A broker that does not agree with an idempotent producer on what was sent last."""

from __future__ import annotations

import random

import pytest
from kafka import TopicPartition

from tests.integration.trial import Trial
from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.connection import KafkaRefused
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.topics import load_topics


@pytest.fixture
def topic(trial: Trial) -> str:
    return trial.make_topic("alerts", partitions=1, max_message_bytes=2_048)


@pytest.fixture
def producer(trial: Trial, topic: str) -> StockKafkaProducer:
    return StockKafkaProducer(trial.settings.kafka, load_topics(), "test")


def lose_count(producer: StockKafkaProducer, topic: str) -> None:
    """Have the producer go on with a number that the broker does not expect."""
    (client,) = producer._producers.made()
    client._transaction_manager.increment_sequence_number(TopicPartition(topic, 0), 100)


def test_what_was_sent_out_of_count_is_to_be_sent_again(
    trial: Trial, topic: str, producer: StockKafkaProducer
) -> None:
    producer.send(topic, "VCB", b"1")
    producer.flush()
    lose_count(producer, topic)
    producer.send(topic, "VCB", b"2")
    with pytest.raises(BrokerUnavailable, match="OutOfOrderSequenceNumberError"):
        producer.flush()
    producer.send(topic, "VCB", b"2")
    producer.flush()
    assert [record.value for record in trial.records("alerts")] == [b"1", b"2"]


def test_a_refused_record_is_the_reason_and_not_what_follows_it(
    trial: Trial, topic: str, producer: StockKafkaProducer
) -> None:
    producer.send(topic, "VCB", b"1")
    producer.flush()
    producer.send(topic, "VCB", random.Random(1).randbytes(20_000))
    for _ in range(20):
        producer.send(topic, "VCB", random.Random(2).randbytes(1_000))
    with pytest.raises(KafkaRefused, match="MessageSizeTooLarge"):
        producer.flush()
