"""Dead letters: a record that cannot be used is kept, with where it came from and why."""

from __future__ import annotations

from collections import Counter

from vnpulse import __version__
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.metrics import NO_METRICS, Metrics
from vnpulse.streaming.outputs import Outputs
from vnpulse.topics import dead_letter_topic

MAX_VALUE_BYTES = 3_145_728
"""A dead letter with its headers must fit the DLQ topics' max_message_bytes (4 MiB)."""

MAX_MESSAGE_CHARS = 1_000


OWN_HEADERS = frozenset(
    (
        "original-topic",
        "original-partition",
        "original-offset",
        "original-timestamp",
        "original-key",
        "reason",
        "exception-type",
        "message",
        "attempts",
        "component",
        "version",
        "truncated-from-bytes",
    )
)
"""Headers that make a record a dead letter; all others are the record's own."""


class DeadLetters:
    """Sends rejected records to ``<topic>_dlq``; durable once the outputs are published.

    The value and key are the original bytes, so a dead letter can be sent again as it was. Headers
    say where it came from and why it is here; those that the record had itself are kept.
    """

    def __init__(self, outputs: Outputs, component: str, metrics: Metrics = NO_METRICS) -> None:
        self._outputs = outputs
        self._metrics = metrics
        self._component = component
        self.counts: Counter[str] = Counter()

    def send(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int = 1) -> None:
        """Send the rejected rows of ``batch``."""
        topic = dead_letter_topic(batch.topic)
        for row, reason, message, exception in rejections:
            value, key = batch.values[row], batch.keys[row]
            headers = {
                "original-topic": batch.topic,
                "original-partition": str(batch.partition),
                "original-offset": str(batch.offsets[row]),
                "original-timestamp": str(batch.timestamps[row]),
                "original-key": "null" if key is None else key.decode("utf-8", "backslashreplace"),
                "reason": reason,
                "exception-type": exception,
                "message": message[:MAX_MESSAGE_CHARS],
                "attempts": str(attempts),
                "component": self._component,
                "version": __version__,
            }
            if value is not None and len(value) > MAX_VALUE_BYTES:
                headers["truncated-from-bytes"] = str(len(value))
                value = value[:MAX_VALUE_BYTES]
            if key is None and value is None:
                key = b""  # the client refuses to send nothing at all
            kept = batch.headers.get(row, {})
            encoded = {**kept, **{name: text.encode() for name, text in headers.items()}}
            self._outputs.send(batch.partition, topic, key, value, encoded.items())
            self.counts[reason] += 1
        for reason, count in Counter(rejection.reason for rejection in rejections).items():
            self._metrics.increment("kafka.dead_letters", count, topic=batch.topic, reason=reason)
