from __future__ import annotations

from typing import Any

import numpy as np

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.kafka.dead_letters import MAX_MESSAGE_CHARS, MAX_VALUE_BYTES, DeadLetters
from vnpulse.topics import load_topics


class Outputs:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None, bytes | None, dict[str, str]]] = []

    def send(self, cause: int, topic: str, key: Any, value: Any, headers: Any) -> None:
        assert cause == 2
        self.sent.append((topic, key, value, {name: text.decode() for name, text in headers}))


def batch(*values: bytes | None) -> PartitionBatch:
    n = len(values)
    offsets = np.arange(n, dtype=np.int64) * 10 + 500
    keys: list[bytes | None] = [f"k{i}".encode() for i in range(n)]
    return PartitionBatch("alerts", 2, 490, 500 + 10 * n, list(values), keys, offsets, offsets + 1)


def test_a_dead_letter_is_the_record_as_it_was_with_where_it_came_from_and_why() -> None:
    outputs = Outputs()
    letters = DeadLetters(outputs, "notification/alerts/0-2")  # type: ignore[arg-type]
    letters.send(batch(b"a", b"\xff\x00"), [Rejection(1, "not-json", "lỗi")], attempts=3)
    [(topic, key, value, headers)] = outputs.sent
    assert (topic, key, value) == ("alerts_dlq", b"k1", b"\xff\x00")
    wanted = {
        "original-topic": "alerts",
        "original-partition": "2",
        "original-offset": "510",
        "original-timestamp": "511",
        "reason": "not-json",
        "message": "lỗi",
        "attempts": "3",
        "component": "notification/alerts/0-2",
    }
    assert wanted.items() <= headers.items()
    assert letters.counts == {"not-json": 1}


def test_a_record_without_a_value_keeps_having_none() -> None:
    outputs = Outputs()
    DeadLetters(outputs, "x").send(batch(None), [Rejection(0, "null-value", "none")])  # type: ignore[arg-type]
    assert outputs.sent[0][2] is None


def test_a_dead_letter_fits_its_topic_however_large_the_record_and_its_error() -> None:
    outputs = Outputs()
    huge = b"x" * (MAX_VALUE_BYTES + 10)
    DeadLetters(outputs, "x").send(batch(huge), [Rejection(0, "not-json", "ộ" * 5_000)])  # type: ignore[arg-type]
    _, key, value, headers = outputs.sent[0]
    assert headers["truncated-from-bytes"] == str(len(huge))
    assert len(headers["message"]) == MAX_MESSAGE_CHARS
    size = len(value or b"") + len(key or b"") + sum(len(n) + len(t.encode()) for n, t in headers.items())
    assert size < load_topics()["alerts_dlq"].max_message_bytes


def test_nothing_rejected_is_nothing_sent() -> None:
    outputs = Outputs()
    DeadLetters(outputs, "x").send(batch(b"a"), [])  # type: ignore[arg-type]
    assert outputs.sent == []
