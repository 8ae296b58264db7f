"""Consumers, producers and admin clients on a broker, closed with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from tests.integration.trial import Trial
from vnpulse.batches import PartitionBatch
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.consumer import AssignedConsumer

OpenConsumer = Callable[..., AssignedConsumer]


@pytest.fixture
def consume(trial: Trial) -> Iterator[OpenConsumer]:
    """Opens consumers of the trial."""
    opened: list[AssignedConsumer] = []

    def open_consumer(
        topic: str, partitions: Sequence[int] = (0,), group: str | None = None, trial: Trial = trial
    ) -> AssignedConsumer:
        opened.append(AssignedConsumer(trial.settings.kafka, topic, partitions, group, "test"))
        return opened[-1]

    yield open_consumer
    for consumer in opened:
        consumer.close()


@pytest.fixture
def admin(trial: Trial) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(trial.settings.kafka) as admin:
        yield admin


@pytest.fixture
def plain_admin(trial: Trial) -> Iterator[KafkaAdminClient]:
    """Kafka's own Admin API, as an operator's tools use it."""
    client = KafkaAdminClient(bootstrap_servers=trial.stack.kafka_bootstrap)
    yield client
    client.close()


@pytest.fixture
def transactional(trial: Trial) -> Iterator[KafkaProducer]:
    """A producer of somebody else's that writes in transactions."""
    producer = KafkaProducer(
        bootstrap_servers=trial.stack.kafka_bootstrap, transactional_id=f"{trial.name}-transactions"
    )
    producer.init_transactions()
    yield producer
    producer.close()


@pytest.fixture
def read() -> Callable[[AssignedConsumer, int], list[PartitionBatch]]:
    """Polls until so many records have come."""

    def read_batches(consumer: AssignedConsumer, count: int) -> list[PartitionBatch]:
        batches: list[PartitionBatch] = []
        for _ in range(100):
            batches += consumer.poll(200)
            if sum(map(len, batches)) >= count:
                return batches
        raise AssertionError(f"{sum(map(len, batches))} of {count} records came")

    return read_batches
