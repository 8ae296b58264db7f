"""Producers of both client libraries: where records land, how they are compressed, what flush promises."""

from __future__ import annotations

import random
import struct

import pytest

from tests.integration.recorded_metrics import RecordedMetrics
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.errors import VnpulseError
from vnpulse.kafka.clients import open_producer
from vnpulse.kafka.connection import KafkaRefused
from vnpulse.kafka.partitioning import partition_of
from vnpulse.topics import load_topics

pytestmark = pytest.mark.usefixtures("each_client")

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the lowest three bits of a record batch's attributes (KIP-98, KIP-110)."""

BATCH_HEADER = struct.Struct(">qiib4xh")
"""Base offset, length of what follows it, leader epoch, magic, (checksum), attributes."""


def codecs_in_the_log(trial: Trial, name: str) -> list[str]:
    """Return the codec of every record batch in the broker's own log segments of a topic."""
    found = []
    for segment in sorted(trial.stack.kafka_data.glob(f"{trial.topic(name)}-[0-9]*/*.log")):
        data = segment.read_bytes()
        at = 0
        while at + BATCH_HEADER.size <= len(data):
            _, length, _, magic, attributes = BATCH_HEADER.unpack_from(data, at)
            if length == 0:
                break
            assert magic == 2
            found.append(CODECS[attributes & 0b111])
            at += 12 + length
    return found


@pytest.mark.parametrize("name", {spec.compression: name for name, spec in load_topics().items()}.values())
def test_each_topic_is_compressed_as_configured_on_the_brokers_disk(trial: Trial, name: str) -> None:
    trial.make_topic(name)
    trial.publish(name, [("VCB", b'{"symbol":"VCB"}' * 100)] * 3)
    codecs = codecs_in_the_log(trial, name)
    assert codecs
    assert set(codecs) == {load_topics()[name].compression}


def test_topics_of_the_design_are_snappy_and_news_gzip() -> None:
    compression = {name: spec.compression for name, spec in load_topics().items()}
    assert compression.pop("stock_news_raw") == "gzip"
    assert {compression[n] for n in compression if not n.endswith("_dlq")} == {"snappy"}


@pytest.mark.parametrize(("name", "partitions"), [("stock_prices_raw", 10), ("analysis_triggers", 3)])
def test_a_key_lands_on_the_partition_that_everybody_computes(
    trial: Trial, name: str, partitions: int
) -> None:
    trial.make_topic(name, partitions)
    symbols = ["VCB", "FPT", "VNINDEX", "CVPB2501", "HPG", "SSI", "VIC", "MWG", "GAS", "ACB"]
    places = trial.publish(name, [(symbol, b"{}") for symbol in symbols])
    assert [p for p, _ in places] == [partition_of(symbol, partitions) for symbol in symbols]
    assert len({p for p, _ in places}) > 1


def test_records_of_one_key_keep_their_order(trial: Trial) -> None:
    trial.make_topic("alerts", 3)
    places = trial.publish("alerts", [("VCB", str(i).encode()) for i in range(2_000)])
    assert places == [(places[0][0], i) for i in range(2_000)]
    assert [r.value for r in trial.records("alerts")] == [str(i).encode() for i in range(2_000)]


def test_null_values_and_bytes_keys_pass(trial: Trial) -> None:
    trial.make_topic("alerts")
    trial.producer().send(trial.topic("alerts"), b"\xff\x00", None)
    trial.producer().flush()
    (record,) = trial.records("alerts")
    assert (record.key, record.value) == (b"\xff\x00", None)


def test_on_append_tells_place_and_time(trial: Trial) -> None:
    topic = trial.make_topic("alerts")
    told: list[tuple[int, int, int]] = []
    trial.producer().send(topic, "VCB", b"x", on_append=lambda *place: told.append(place))
    trial.producer().flush()
    assert eventually(lambda: told)
    (record,) = trial.records("alerts")
    assert told == [(0, 0, record.timestamp)]


def test_flush_raises_for_a_record_above_the_topics_limit_and_the_producer_goes_on(trial: Trial) -> None:
    topic = trial.make_topic("alerts", max_message_bytes=2_048)
    producer = trial.producer()
    producer.send(topic, "VCB", random.Random(1).randbytes(20_000))
    with pytest.raises(KafkaRefused, match=r"(?i)message.?size.?too.?large"):
        producer.flush()
    trial.publish("alerts", [("VCB", b"small")])
    assert [r.value for r in trial.records("alerts")] == [b"small"]


def test_flush_raises_even_when_later_records_succeed(trial: Trial) -> None:
    topic = trial.make_topic("alerts", max_message_bytes=2_048)
    producer = trial.producer()
    producer.send(topic, "VCB", random.Random(1).randbytes(20_000))
    producer.send(topic, "FPT", b"small")
    with pytest.raises(VnpulseError):
        producer.flush()


def test_success_error_and_latency_are_measured_by_topic(trial: Trial) -> None:
    alerts = trial.make_topic("alerts")
    small = trial.make_topic("small", max_message_bytes=2_048)
    notes = RecordedMetrics()
    producer = open_producer(trial.settings.kafka, load_topics(), "test", notes)
    for _ in range(5):
        producer.send(alerts, "VCB", b"x")
    producer.flush()
    producer.send(small, "VCB", random.Random(1).randbytes(20_000))
    with pytest.raises(KafkaRefused):
        producer.flush()
    producer.close()
    assert notes.count("kafka.producer.success", topic=alerts) == 5
    assert notes.count("kafka.producer.error", topic=alerts) == 0
    assert notes.count("kafka.producer.success", topic=small) == 0
    assert notes.count("kafka.producer.error", topic=small) == 1
    assert len(notes.timings("kafka.producer.latency", topic=alerts)) == 1
    assert notes.timings("kafka.producer.latency", topic=small) == []


def test_what_is_queued_is_bounded_by_flushing(trial: Trial) -> None:
    topic = trial.make_topic("alerts")
    kafka = trial.settings.kafka
    settings = kafka.model_copy(
        update={"producer": kafka.producer.model_copy(update={"buffer_memory": 65_536, "linger_ms": 60_000})}
    )
    notes = RecordedMetrics()
    producer = open_producer(settings, load_topics(), "test", notes)
    for _ in range(70):
        producer.send(topic, None, bytes(1_000))
    sent = notes.count("kafka.producer.success", topic=topic)
    assert sent == 66, "65,536 bytes are reached by 66 records"
    producer.close()
    assert len(trial.records("alerts")) == 70
