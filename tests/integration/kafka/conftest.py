"""Consumers, producers and admin clients on a broker, closed with the test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from tests.integration.trial import Trial
from vnpulse.batches import PartitionBatch
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.clients import open_consumer
from vnpulse.kafka.protocols import Consumer

OpenConsumer = Callable[..., Consumer]


@pytest.fixture
def consume(trial: Trial) -> Iterator[OpenConsumer]:
    """Opens consumers of the trial."""
    opened: list[Consumer] = []

    def open_one(
        topic: str, partitions: Sequence[int] = (0,), group: str | None = None, trial: Trial = trial
    ) -> Consumer:
        opened.append(open_consumer(trial.settings.kafka, topic, partitions, group, "test"))
        return opened[-1]

    yield open_one
    for consumer in opened:
        consumer.close()


@pytest.fixture(params=["kafka-python", "confluent"])
def each_client_name(request: pytest.FixtureRequest) -> str:
    """The client libraries, one after the other."""
    return str(request.param)


@pytest.fixture
def each_client(trial: Trial, each_client_name: str) -> None:
    """Runs the test once with each client library."""
    trial.kafka["client"] = each_client_name
    trial.write_config()


@pytest.fixture
def each_consumer(trial: Trial, each_client_name: str) -> None:
    """Runs the test once with each library's consumer, on records of kafka-python's producer.

    The other's producer takes half a second to begin.
    """
    trial.producer()
    trial.kafka["client"] = each_client_name
    trial.write_config()


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
def read() -> Callable[[Consumer, int], list[PartitionBatch]]:
    """Polls until so many records have come."""

    def read_batches(consumer: Consumer, count: int) -> list[PartitionBatch]:
        batches: list[PartitionBatch] = []
        for _ in range(100):
            batches += consumer.poll(200)
            if sum(map(len, batches)) >= count:
                return batches
        raise AssertionError(f"{sum(map(len, batches))} of {count} records came")

    return read_batches


@pytest.fixture
def unused_kafka() -> Iterator[str]:
    """An address where nothing answers: the port is ours and nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"
