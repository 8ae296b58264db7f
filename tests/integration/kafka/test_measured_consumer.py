"""What is counted of reading, and that only what retention took counts as lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition

from tests.integration.recorded_metrics import RecordedMetrics
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.kafka.clients import open_measured_consumer
from vnpulse.kafka.measured import MeasuredConsumer
from vnpulse.kafka.progress import SoleProgress

pytestmark = pytest.mark.usefixtures("each_consumer")


@pytest.fixture
def notes() -> RecordedMetrics:
    return RecordedMetrics()


Measure = Callable[[str], MeasuredConsumer]


@pytest.fixture
def measure(trial: Trial, notes: RecordedMetrics) -> Iterator[Measure]:
    """Opens counted consumers of partition 0 for the group "readers"."""
    opened: list[MeasuredConsumer] = []

    def open_one(topic: str) -> MeasuredConsumer:
        opened.append(
            open_measured_consumer(trial.settings.kafka, topic, [0], "readers", "test", SoleProgress(), notes)
        )
        return opened[-1]

    yield open_one
    for consumer in opened:
        consumer.close()


def read(consumer: MeasuredConsumer, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []

    def enough() -> bool:
        values.extend(value for batch in consumer.poll(200) for value in batch.values)
        return len(values) >= count

    assert eventually(enough), f"{len(values)} of {count} records came"
    return values


def test_records_bytes_fetches_and_assignments_are_counted(
    trial: Trial, measure: Measure, notes: RecordedMetrics
) -> None:
    topic = trial.make_topic("counted")
    trial.publish("counted", [("VCB", b"12345"), (None, b"12345"), ("FPT", None)])
    labels = {"topic": topic, "group": "readers"}
    read(measure(topic), 3)
    assert notes.count("kafka.consumer.records", **labels) == 3
    assert notes.count("kafka.consumer.bytes", **labels) == 16
    assert notes.count("kafka.consumer.assignments", **labels) == 1
    assert notes.count("kafka.consumer.lost", **labels, partition="0") == 0
    measure(topic)
    assert notes.count("kafka.consumer.assignments", **labels) == 2


def test_unread_records_that_retention_removed_are_counted_as_lost_once(
    trial: Trial, measure: Measure, notes: RecordedMetrics, plain_admin: KafkaAdminClient
) -> None:
    topic = trial.make_topic("expired")
    trial.publish("expired", [("K", str(i).encode()) for i in range(10)])
    first = measure(topic)
    first.commit({0: 2})
    first.close()
    plain_admin.delete_records({TopicPartition(topic, 0): 6})
    lost = {"topic": topic, "group": "readers", "partition": "0"}
    second = measure(topic)
    assert read(second, 4) == [b"6", b"7", b"8", b"9"]
    assert notes.count("kafka.consumer.lost", **lost) == 4
    second.seek(0, 2)
    read(second, 4)
    assert notes.count("kafka.consumer.lost", **lost) == 4, "the same records again"


def test_a_new_group_has_lost_nothing_of_what_was_removed_before_it(
    trial: Trial, measure: Measure, notes: RecordedMetrics, plain_admin: KafkaAdminClient
) -> None:
    topic = trial.make_topic("older")
    trial.publish("older", [("K", str(i).encode()) for i in range(5)])
    plain_admin.delete_records({TopicPartition(topic, 0): 3})
    read(measure(topic), 2)
    assert notes.count("kafka.consumer.lost", topic=topic, group="readers", partition="0") == 0


def test_what_transactions_leave_is_no_loss(
    trial: Trial, measure: Measure, notes: RecordedMetrics, transactional: KafkaProducer
) -> None:
    topic = trial.make_topic("markers")
    consumer = measure(topic)
    for value in (b"one", b"two"):
        transactional.begin_transaction()
        transactional.send(topic, value)
        transactional.commit_transaction()
    transactional.begin_transaction()
    transactional.send(topic, b"never")
    transactional.flush()
    transactional.abort_transaction()
    trial.publish("markers", [("K", b"three")])
    assert read(consumer, 3) == [b"one", b"two", b"three"]
    assert notes.count("kafka.consumer.lost", topic=topic, group="readers", partition="0") == 0
