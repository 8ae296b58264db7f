"""What `vnpulse metrics` exports, read from a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from tests.integration.kafka.conftest import OpenConsumer
from tests.integration.trial import Trial
from vnpulse.exporter import Exporter
from vnpulse.kafka.partitioning import partition_of
from vnpulse.store.status import StatusStore
from vnpulse.topics import ALERTS, CONSUMED, PRICES

PARTITION = partition_of("VCB", 10)


class Reading:
    """The exported samples of one reading."""

    def __init__(self, exporter: Exporter, trial: Trial) -> None:
        exporter.read()
        self._registry: CollectorRegistry = exporter.registry()
        self._trial = trial

    def sample(self, series: str, **labels: str) -> float | None:
        return self._registry.get_sample_value(series, labels)

    def of_prices(self, series: str) -> float | None:
        group = self._trial.settings.kafka.group(CONSUMED[PRICES])
        topic = self._trial.topic(PRICES)
        return self.sample(series, group=group, topic=topic, partition=str(PARTITION))


@pytest.fixture
def exporter(deployment: Trial) -> Iterator[Exporter]:
    exporter = Exporter(deployment.settings.kafka, StatusStore(deployment.database()))
    yield exporter
    exporter.close()


def test_lag_grows_while_a_consumer_is_stopped_and_shrinks_with_its_commits(
    deployment: Trial, exporter: Exporter, consume: OpenConsumer
) -> None:
    empty = Reading(exporter, deployment)
    assert empty.of_prices("vnpulse_kafka_group_lag") == 0
    assert empty.of_prices("vnpulse_kafka_group_committed_offset") is None
    deployment.publish(PRICES, [("VCB", b"x")] * 7)
    assert Reading(exporter, deployment).of_prices("vnpulse_kafka_group_lag") == 7
    consumer = consume(
        deployment.topic(PRICES), [PARTITION], deployment.settings.kafka.group(CONSUMED[PRICES])
    )
    consumer.commit({PARTITION: 5})
    consumer.close()
    behind = Reading(exporter, deployment)
    assert behind.of_prices("vnpulse_kafka_group_lag") == 2
    assert behind.of_prices("vnpulse_kafka_group_committed_offset") == 5
    assert behind.of_prices("vnpulse_kafka_group_expired_records") == 0


def test_unread_records_that_retention_removed_are_loss_and_not_lag(
    deployment: Trial, exporter: Exporter, consume: OpenConsumer, plain_admin: KafkaAdminClient
) -> None:
    deployment.publish(PRICES, [("VCB", b"x")] * 10)
    place = TopicPartition(deployment.topic(PRICES), PARTITION)
    plain_admin.delete_records({place: 3})
    never_read = Reading(exporter, deployment)
    assert never_read.of_prices("vnpulse_kafka_group_lag") == 7
    assert never_read.of_prices("vnpulse_kafka_group_expired_records") == 0
    group = deployment.settings.kafka.group(CONSUMED[PRICES])
    consume(place.topic, [PARTITION], group).commit({PARTITION: 4})
    plain_admin.delete_records({place: 10})
    emptied = Reading(exporter, deployment)
    assert emptied.of_prices("vnpulse_kafka_group_lag") == 0
    assert emptied.of_prices("vnpulse_kafka_group_expired_records") == 6


def test_topics_are_counted_and_weighed_without_jmx(deployment: Trial, exporter: Exporter) -> None:
    before = Reading(exporter, deployment)
    prices, dead = deployment.topic(PRICES), deployment.topic("alerts_dlq")
    assert before.sample("vnpulse_kafka_topic_bytes_in_total", topic=prices) == 0
    deployment.publish(PRICES, [("VCB", bytes(50_000))] * 3)
    deployment.publish("alerts_dlq", [("VCB", b"x")] * 2)
    after = Reading(exporter, deployment)
    assert after.sample("vnpulse_kafka_topic_messages_in_total", topic=prices, partition=str(PARTITION)) == 3
    size = after.sample("vnpulse_kafka_topic_size_bytes", topic=prices)
    assert size is not None
    assert 0 < size < 150_000, "as stored: compressed"
    assert after.sample("vnpulse_kafka_topic_bytes_in_total", topic=prices) == size
    assert after.sample("vnpulse_kafka_topic_records", topic=dead) == 2
    assert after.sample("vnpulse_kafka_topic_records", topic=deployment.topic(ALERTS)) == 0
    assert after.sample("vnpulse_kafka_topic_under_replicated_partitions", topic=prices) == 0
    assert after.sample("vnpulse_kafka_topic_offline_partitions", topic=prices) == 0
    assert after.sample("vnpulse_kafka_brokers") == 1
    assert after.sample("vnpulse_kafka_up") == 1
    assert after.sample("vnpulse_store_up") == 1


def test_actors_are_what_their_supervisor_says_while_it_says_something(
    deployment: Trial, exporter: Exporter
) -> None:
    now_s = time.time()
    row = {"status": "running", "restarts": 2, "updated_s": now_s}
    StatusStore(deployment.database()).replace(
        [
            row | {"name": "storage/prices"},
            row | {"name": "technical/0", "status": "faulted"},
            row | {"name": "sentiment/0", "updated_s": now_s - 60},
        ],
        "test",
    )
    reading = Reading(exporter, deployment)
    assert reading.sample("vnpulse_actor_running", actor="storage/prices") == 1
    assert reading.sample("vnpulse_actor_running", actor="technical/0") == 0
    assert reading.sample("vnpulse_actor_running", actor="sentiment/0") == 0
    assert reading.sample("vnpulse_actor_restarts_total", actor="storage/prices") == 2
