"""Consumers of both client libraries: what a batch covers, where reading begins, what a group remembers."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition

from tests.integration.kafka.conftest import OpenConsumer
from tests.integration.trial import Trial
from vnpulse.batches import PartitionBatch
from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.partitioning import partition_of
from vnpulse.kafka.protocols import Consumer
from vnpulse.topics import load_topics

pytestmark = pytest.mark.usefixtures("each_consumer")

Read = Callable[[Consumer, int], list[PartitionBatch]]


def numbers(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    return [("K", str(i).encode()) for i in range(first, first + count)]


def values(batches: list[PartitionBatch]) -> list[bytes | None]:
    return [value for batch in batches for value in batch.values]


def test_a_batch_is_columns_with_the_brokers_offsets_and_times(
    trial: Trial, consume: OpenConsumer, read: Read
) -> None:
    topic = trial.make_topic("columns")
    before = time.time_ns() // 1_000_000
    trial.publish("columns", [("VCB", b"one"), (None, b"two"), ("FPT", None)])
    consumer = consume(topic)
    assert consumer.positions == {0: 0}
    (batch,) = read(consumer, 3)
    assert (batch.topic, batch.partition, batch.start_offset, batch.next_offset) == (topic, 0, 0, 3)
    assert batch.keys == [b"VCB", None, b"FPT"]
    assert batch.values == [b"one", b"two", None]
    assert batch.offsets.tolist() == [0, 1, 2]
    assert all(before <= t <= time.time_ns() // 1_000_000 for t in batch.timestamps.tolist())
    assert consumer.positions == {0: 3}


def test_an_empty_topic_gives_no_batch(trial: Trial, consume: OpenConsumer) -> None:
    consumer = consume(trial.make_topic("empty", 2), [0, 1], "readers")
    assert consumer.poll(200) == []
    assert consumer.positions == {0: 0, 1: 0}
    assert consumer.beginning_offsets() == consumer.end_offsets() == {0: 0, 1: 0}


def test_batches_cover_the_log_without_a_gap_across_transaction_markers(
    trial: Trial, consume: OpenConsumer, read: Read, transactional: KafkaProducer
) -> None:
    topic = trial.make_topic("holes")
    consumer = consume(topic)
    covered = []

    def take(count: int) -> list[bytes | None]:
        batches = read(consumer, count)
        covered.extend((b.start_offset, b.next_offset) for b in batches)
        return values(batches)

    transactional.begin_transaction()
    for value in (b"0", b"1"):
        transactional.send(topic, value)
    transactional.commit_transaction()  # its marker is offset 2
    assert take(2) == [b"0", b"1"]
    transactional.begin_transaction()
    transactional.send(topic, b"never")
    transactional.flush()
    transactional.abort_transaction()  # record 3 and marker 4
    trial.publish("holes", [("K", b"5"), ("K", b"6")])
    assert take(2) == [b"5", b"6"]
    assert covered[0][0] == 0
    assert all(following[0] == previous[1] for previous, following in pairwise(covered))
    assert covered[-1][1] == consumer.end_offsets()[0] == 7


def test_a_paused_consumer_returns_nothing_and_then_everything(
    trial: Trial, consume: OpenConsumer, read: Read
) -> None:
    topic = trial.make_topic("paused", 2)
    trial.publish("paused", numbers(10))
    consumer = consume(topic, [0, 1])
    first = values(read(consumer, 1))
    consumer.pause()
    before = consumer.positions
    trial.publish("paused", numbers(5, 10))
    assert [consumer.poll(200) for _ in range(3)] == [[], [], []]
    assert consumer.positions == before
    consumer.resume()
    rest = values(read(consumer, 15 - len(first)))
    assert [*first, *rest] == [value for _, value in numbers(15)]


def test_open_transactions_are_not_read_before_they_are_committed(
    trial: Trial, consume: OpenConsumer, read: Read, transactional: KafkaProducer
) -> None:
    topic = trial.make_topic("open")
    consumer = consume(topic)
    transactional.begin_transaction()
    transactional.send(topic, b"pending").get(10)
    trial.publish("open", [("K", b"behind it")])
    assert consumer.poll(500) == []
    transactional.commit_transaction()
    assert values(read(consumer, 2)) == [b"pending", b"behind it"]


def test_seeking_back_brings_the_same_records_again(trial: Trial, consume: OpenConsumer, read: Read) -> None:
    topic = trial.make_topic("seeking")
    trial.publish("seeking", numbers(10))
    consumer = consume(topic)
    read(consumer, 10)
    consumer.seek(0, 4)
    assert consumer.positions == {0: 4}
    batch = read(consumer, 6)[0]
    assert batch.start_offset == 4
    assert batch.values[0] == b"4"


def test_a_batch_after_a_seek_into_a_hole_begins_where_the_seek_pointed(
    trial: Trial, consume: OpenConsumer, read: Read, transactional: KafkaProducer
) -> None:
    topic = trial.make_topic("into-a-hole")
    transactional.begin_transaction()
    transactional.send(topic, b"0")
    transactional.commit_transaction()
    trial.publish("into-a-hole", [("K", b"2")])
    consumer = consume(topic)
    consumer.seek(0, 1)  # the marker
    (batch,) = read(consumer, 1)
    assert (batch.start_offset, batch.offsets.tolist(), batch.next_offset) == (1, [2], 3)


def test_records_that_retention_removed_are_part_of_the_first_batchs_stretch(
    trial: Trial, consume: OpenConsumer, read: Read, plain_admin: KafkaAdminClient
) -> None:
    topic = trial.make_topic("retention")
    trial.publish("retention", numbers(10))
    first = consume(topic, group="readers")
    first.poll(2_000)
    first.commit({0: 2})
    first.close()
    plain_admin.delete_records({TopicPartition(topic, 0): 6})
    consumer = consume(topic, group="readers")
    assert consumer.beginning_offsets() == {0: 6}
    (batch,) = read(consumer, 4)
    assert (batch.start_offset, batch.next_offset) == (2, 10)
    assert batch.values == [b"6", b"7", b"8", b"9"]


def test_a_group_resumes_each_partition_where_it_committed(
    trial: Trial, consume: OpenConsumer, read: Read
) -> None:
    topic = trial.make_topic("resumed", 2)
    keys = {partition_of(key, 2): key for key in ("AAA", "BBB", "CCC", "DDD")}
    trial.publish("resumed", [(keys[p], f"{p}-{i}".encode()) for i in range(4) for p in (0, 1)])
    first = consume(topic, [0, 1], "readers")
    read(first, 8)
    first.commit({0: 3, 1: 1})
    first.close()
    second = consume(topic, [0, 1], "readers")
    assert second.positions == {0: 3, 1: 1}
    batches = {batch.partition: batch for batch in read(second, 4)}
    assert {p: b.values for p, b in batches.items()} == {0: [b"0-3"], 1: [b"1-1", b"1-2", b"1-3"]}
    assert consume(topic, [0, 1], "others").positions == {0: 0, 1: 0}


def test_what_was_not_committed_comes_again(trial: Trial, consume: OpenConsumer, read: Read) -> None:
    topic = trial.make_topic("uncommitted")
    trial.publish("uncommitted", numbers(5))
    first = consume(topic, group="readers")
    read(first, 5)
    first.close()
    assert values(read(consume(topic, group="readers"), 5)) == [b"0", b"1", b"2", b"3", b"4"]


def test_only_the_assigned_partitions_are_read(trial: Trial, consume: OpenConsumer, read: Read) -> None:
    topic = trial.make_topic("assigned", 3)
    keys = {partition_of(key, 3): key for key in ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG")}
    trial.publish("assigned", [(keys[p], str(p).encode()) for p in (0, 1, 2)])
    consumer = consume(topic, [0, 2])
    assert sorted(values(read(consumer, 2))) == [b"0", b"2"]
    assert consumer.poll(300) == []


def test_two_consumers_of_one_group_do_not_take_partitions_from_each_other(
    trial: Trial, consume: OpenConsumer, read: Read
) -> None:
    topic = trial.make_topic("side-by-side", 2)
    keys = {partition_of(key, 2): key for key in ("AAA", "BBB", "CCC", "DDD")}
    one, other = consume(topic, [0], "readers"), consume(topic, [1], "readers")
    trial.publish("side-by-side", [(keys[p], str(p).encode()) for p in (0, 1)])
    assert values(read(one, 1)) == [b"0"]
    assert values(read(other, 1)) == [b"1"]
    one.commit({0: 1})
    other.commit({1: 1})
    assert consume(topic, [0, 1], "readers").positions == {0: 1, 1: 1}


def test_reading_from_the_end_is_a_setting(trial: Trial, consume: OpenConsumer, read: Read) -> None:
    trial.write_config(kafka=trial.kafka | {"consumer": {"auto_offset_reset": "latest"}})
    topic = trial.make_topic("from-the-end")
    trial.publish("from-the-end", numbers(3))
    consumer = consume(topic, group="readers")
    assert consumer.positions == {0: 3}
    trial.publish("from-the-end", numbers(1, first=3))
    assert values(read(consumer, 1)) == [b"3"]


def test_a_poll_returns_at_most_so_many_records_as_configured(
    trial: Trial, consume: OpenConsumer, read: Read
) -> None:
    trial.write_config(kafka=trial.kafka | {"consumer": {"max_poll_records": 7}})
    topic = trial.make_topic("bounded")
    trial.publish("bounded", numbers(50))
    batches = read(consume(topic), 50)
    assert max(map(len, batches)) <= 7
    assert values(batches) == [str(i).encode() for i in range(50)]


@pytest.mark.parametrize("name", {spec.compression: name for name, spec in load_topics().items()}.values())
def test_every_topic_can_be_read_in_the_codec_that_it_is_written_in(
    trial: Trial, consume: OpenConsumer, read: Read, name: str
) -> None:
    topic = trial.make_topic(name)
    value = b'{"symbol":"VCB"}' * 100
    trial.publish(name, [("VCB", value)] * 3)
    assert values(read(consume(topic), 3)) == [value] * 3


def test_headers_are_read_whole(trial: Trial) -> None:
    topic = trial.make_topic("headers")
    headers = [("reason", b"not-json"), ("message", "giá".encode())]
    trial.producer().send(topic, "VCB", b"value", headers)
    trial.producer().flush()
    consumer = AssignedConsumer(trial.settings.kafka, topic, [0], None, "test")
    (record,) = consumer.poll_records(5_000)
    assert record.headers == {"reason": "not-json", "message": "giá"}
    assert (record.partition, record.offset, record.key, record.value) == (0, 0, b"VCB", b"value")
    assert consumer.positions == {0: 1}
    consumer.close()


def test_an_unknown_topic_is_an_error_and_not_silence(trial: Trial, consume: OpenConsumer) -> None:
    with pytest.raises(BrokerUnavailable, match="nowhere"):
        consume(trial.topic("nowhere"))
