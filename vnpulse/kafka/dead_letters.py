"""Dead letters: a record that cannot be used is kept, with where it came from and why."""

from __future__ import annotations

from collections import Counter

from vnpulse import __version__
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.topics import dead_letter_topic

MAX_VALUE_BYTES = 3_145_728
"""A dead letter with its headers must fit the DLQ topics' max_message_bytes (4 MiB)."""

MAX_MESSAGE_CHARS = 1_000


class DeadLetters:
    """Queues rejected records on ``<topic>_dlq``; durable once the producer is flushed.

    The value and key are the original bytes, so a dead letter can be sent again as it was.
    """

    def __init__(self, producer: StockKafkaProducer, component: str) -> None:
        self._producer = producer
        self._component = component
        self.counts: Counter[str] = Counter()

    def send(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int = 1) -> None:
        """Queue the rejected rows of ``batch``."""
        topic = dead_letter_topic(batch.topic)
        for row, reason, message in rejections:
            value = batch.values[row]
            headers = {
                "original-topic": batch.topic,
                "original-partition": str(batch.partition),
                "original-offset": str(batch.offsets[row]),
                "original-timestamp": str(batch.timestamps[row]),
                "reason": reason,
                "message": message[:MAX_MESSAGE_CHARS],
                "attempts": str(attempts),
                "component": self._component,
                "version": __version__,
            }
            if value is not None and len(value) > MAX_VALUE_BYTES:
                headers["truncated-from-bytes"] = str(len(value))
                value = value[:MAX_VALUE_BYTES]
            key = batch.keys[row]
            if key is None and value is None:
                # The client refuses to send nothing at all.
                key, headers["original-key"] = b"", "null"
            self._producer.send(topic, key, value, [(name, text.encode()) for name, text in headers.items()])
            self.counts[reason] += 1
