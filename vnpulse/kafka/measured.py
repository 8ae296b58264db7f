"""A consumer whose reading is counted, whatever client library reads."""

from __future__ import annotations

from collections.abc import Mapping

from vnpulse.batches import PartitionBatch
from vnpulse.kafka.protocols import Consumer
from vnpulse.metrics import Metrics


class MeasuredConsumer:
    """Passes everything on to ``consumer``, and counts once a poll.

    Records that retention removed before they were read are counted when the first record behind
    them comes. That they are missing shows as a hole at the start of a batch; only then is the
    broker asked where its log begins, because transactions leave holes too.
    """

    def __init__(self, consumer: Consumer, group: str, metrics: Metrics) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self._counted: dict[int, int] = {}
        self._labels = {"topic": consumer.topic, "group": group}
        self.topic = consumer.topic
        metrics.increment("kafka.consumer.assignments", **self._labels)
        consumer.observe_fetches(
            lambda seconds: metrics.timing("kafka.consumer.fetch_latency", seconds, **self._labels)
        )

    @property
    def positions(self) -> dict[int, int]:
        """See AssignedConsumer."""
        return self._consumer.positions

    def poll(self, timeout_ms: int) -> list[PartitionBatch]:
        """See AssignedConsumer."""
        batches = self._consumer.poll(timeout_ms)
        records = size = 0
        holes: dict[int, tuple[int, int]] = {}
        for batch in batches:
            if not len(batch):
                continue
            records += len(batch)
            size += sum(map(len, filter(None, batch.values))) + sum(map(len, filter(None, batch.keys)))
            first = int(batch.offsets[0])
            if first > batch.start_offset:
                holes[batch.partition] = (batch.start_offset, first)
        if records:
            self._metrics.increment("kafka.consumer.records", records, **self._labels)
            self._metrics.increment("kafka.consumer.bytes", size, **self._labels)
        if holes:
            self._count_lost(holes)
        return batches

    def _count_lost(self, holes: Mapping[int, tuple[int, int]]) -> None:
        begins = self._consumer.beginning_offsets()
        for partition, (start, first) in holes.items():
            end = min(begins[partition], first)
            lost = end - max(start, self._counted.get(partition, 0))
            if lost > 0:
                self._counted[partition] = end
                self._metrics.increment("kafka.consumer.lost", lost, **self._labels, partition=str(partition))

    def seek(self, partition: int, offset: int) -> None:
        """See AssignedConsumer."""
        self._consumer.seek(partition, offset)

    def pause(self) -> None:
        """See AssignedConsumer."""
        self._metrics.increment("kafka.consumer.pauses", **self._labels)
        self._consumer.pause()

    def resume(self) -> None:
        """See AssignedConsumer."""
        self._consumer.resume()

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See AssignedConsumer."""
        self._consumer.commit(offsets)

    def close(self) -> None:
        """See AssignedConsumer."""
        self._consumer.close()
