"""Dead letters on a real broker: the record as it was, where it came from, and why."""

from __future__ import annotations

import random

import numpy as np

from tests.integration.trial import Trial
from vnpulse import __version__
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.kafka.dead_letters import MAX_MESSAGE_CHARS, MAX_VALUE_BYTES, DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.topics import PRICES, dead_letter_topic, load_topics


def batch_of(topic: str, records: list[tuple[bytes | None, bytes | None]]) -> PartitionBatch:
    n = len(records)
    return PartitionBatch(
        topic=topic,
        partition=7,
        start_offset=100,
        next_offset=100 + n,
        values=[value for _, value in records],
        keys=[key for key, _ in records],
        offsets=np.arange(100, 100 + n, dtype=np.int64),
        timestamps=np.arange(5_000, 5_000 + n, dtype=np.int64),
    )


def test_a_dead_letter_is_the_record_with_its_origin_and_reason(trial: Trial) -> None:
    trial.make_topic(dead_letter_topic(PRICES), 3)
    letters = DeadLetters(PlainOutputs(trial.producer()), "storage/prices/0-9")
    batch = batch_of(trial.topic(PRICES), [(b"VCB", b"good"), (b"\xff", b"{broken"), (b"FPT", None)])
    rejections = [Rejection(1, "not-json", "giá xấu " * 500), Rejection(2, "null-value", "no value")]
    letters.send(batch, rejections, attempts=3)
    trial.producer().flush()
    by_offset = {record.headers["original-offset"]: record for record in trial.dead_letters(PRICES)}
    assert by_offset.keys() == {"101", "102"}
    broken, null = by_offset["101"], by_offset["102"]
    assert (broken.key, broken.value) == (b"\xff", b"{broken")
    assert broken.headers == {
        "original-topic": trial.topic(PRICES),
        "original-partition": "7",
        "original-offset": "101",
        "original-timestamp": "5001",
        "original-key": "\\xff",
        "reason": "not-json",
        "exception-type": "Rejection",
        "message": ("giá xấu " * 500)[:MAX_MESSAGE_CHARS],
        "attempts": "3",
        "component": "storage/prices/0-9",
        "version": __version__,
    }
    assert (null.key, null.value, null.headers["reason"]) == (b"FPT", None, "null-value")
    assert letters.counts == {"not-json": 1, "null-value": 1}


def test_a_value_that_cannot_fit_is_cut_and_says_so(trial: Trial) -> None:
    name = dead_letter_topic(PRICES)
    trial.make_topic(name, max_message_bytes=load_topics()[name].max_message_bytes)
    value = random.Random(1).randbytes(MAX_VALUE_BYTES + 500_000)  # does not compress
    whole = random.Random(2).randbytes(MAX_VALUE_BYTES)
    letters = DeadLetters(PlainOutputs(trial.producer()), "test")
    batch = batch_of(trial.topic(PRICES), [(None, value), (None, whole)])
    letters.send(batch, [Rejection(0, "not-json", "x" * 2_000), Rejection(1, "not-json", "x" * 2_000)])
    trial.producer().flush()
    cut, kept = trial.dead_letters(PRICES)
    assert cut.value == value[:MAX_VALUE_BYTES]
    assert cut.headers["truncated-from-bytes"] == str(len(value))
    assert kept.value == whole
    assert "truncated-from-bytes" not in kept.headers


def test_a_dead_letter_can_be_sent_again_as_it_was(trial: Trial) -> None:
    trial.make_topic(PRICES, 10)
    trial.make_topic(dead_letter_topic(PRICES), 3)
    DeadLetters(PlainOutputs(trial.producer()), "test").send(
        batch_of(trial.topic(PRICES), [(b"VCB", b"bytes \x00\xff")]), [Rejection(0, "not-json", "")]
    )
    trial.producer().flush()
    (letter,) = trial.dead_letters(PRICES)
    trial.producer().send(trial.topic(PRICES), letter.key, letter.value)
    trial.producer().flush()
    (again,) = trial.records(PRICES)
    assert (again.key, again.value) == (b"VCB", b"bytes \x00\xff")


def test_a_record_with_neither_key_nor_value_can_be_kept_too(trial: Trial) -> None:
    """Kafka allows such records and other clients send them; kafka-python's ``send`` refuses them."""
    trial.make_topic(dead_letter_topic(PRICES))
    DeadLetters(PlainOutputs(trial.producer()), "test").send(
        batch_of(trial.topic(PRICES), [(None, None)]), [Rejection(0, "null-value", "no value")]
    )
    trial.producer().flush()
    (letter,) = trial.dead_letters(PRICES)
    assert letter.headers["original-offset"] == "100"
