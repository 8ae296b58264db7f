"""AssignedConsumer's contract on confluent-kafka, which parses and decompresses in C."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import cast

import numpy as np
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from vnpulse.batches import PartitionBatch
from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.confluent_connection import (
    REQUEST_TIMEOUT_S,
    Failures,
    librdkafka_options,
    on_statistics,
    translated,
)
from vnpulse.kafka.progress import Committed, Progress, SoleProgress
from vnpulse.kafka.settings import KafkaSettings

QUEUED_KILOBYTES = 16_384
"""What is fetched ahead of polls; the library's own 64 MB a consumer is more than a whole actor takes."""


class ConfluentConsumer:
    """Reads given partitions of one topic; see AssignedConsumer, which this stands in for.

    Not thread-safe; one thread owns it.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        partitions: Sequence[int],
        group: str | None,
        client_id: str,
        *,
        read_committed: bool = True,
        progress: Progress | None = None,
    ) -> None:
        """Assign ``partitions`` of ``topic`` and take up each where the group is. See AssignedConsumer."""
        self._settings = settings
        self._progress = progress or SoleProgress()
        self.topic = topic
        self._partitions = tuple(partitions)
        self._failures = Failures()
        self._observe: Callable[[float], None] | None = None
        tuning = settings.consumer
        self._most = tuning.max_poll_records
        options = librdkafka_options(settings, client_id) | {
            # The library wants a name also where no offset is ever committed.
            "group.id": group or client_id,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": tuning.auto_offset_reset,
            "fetch.min.bytes": tuning.fetch_min_bytes,
            "fetch.wait.max.ms": tuning.fetch_max_wait_ms,
            "session.timeout.ms": tuning.session_timeout_ms,
            "heartbeat.interval.ms": tuning.heartbeat_interval_ms,
            "isolation.level": "read_committed" if read_committed else "read_uncommitted",
            # What says at the end of a partition how far it reaches, markers included.
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": QUEUED_KILOBYTES,
            "error_cb": self._failures.heard,
            "stats_cb": on_statistics(self._fetched),
        }
        self._consumer = Consumer(options)
        try:
            with self._translated("consume"):
                self._require_topic()
                self._next = self._starts(group is not None)
                self._positions = dict(self._next)
                self._assign(self._next)
        except BaseException:
            self._consumer.close()
            raise

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(self._settings, f"{doing} {self.topic}", self._failures)

    def _require_topic(self) -> None:
        try:
            found = self._consumer.list_topics(self.topic, REQUEST_TIMEOUT_S).topics[self.topic]
        except KafkaException:
            self._consumer.poll(0)  # hands over what is known about the reason
            raise
        if found.error is not None:
            raise KafkaException(found.error)
        missing = set(self._partitions) - found.partitions.keys()
        if missing:
            raise BrokerUnavailable(f"consume {self.topic}: there is no partition {min(missing)}")

    def _starts(self, has_group: bool) -> dict[int, int]:
        starts: dict[int, int] = {}
        metadata: dict[int, str] = {}
        if has_group:
            for tp in self._consumer.committed(self._places(), REQUEST_TIMEOUT_S):
                if tp.error is not None:
                    raise KafkaException(tp.error)
                if tp.offset > OFFSET_INVALID:
                    starts[tp.partition] = tp.offset
                metadata[tp.partition] = tp.metadata or ""
        end = self._settings.consumer.auto_offset_reset == "latest"
        for partition in self._partitions:
            if partition not in starts:
                starts[partition] = self._watermarks(partition)[end]
        return {
            partition: self._progress.resumed(
                partition, Committed(starts[partition], metadata.get(partition, ""))
            )
            for partition in self._partitions
        }

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic, partition) for partition in self._partitions]

    def _assign(self, starts: Mapping[int, int]) -> None:
        self._consumer.assign([TopicPartition(self.topic, p, offset) for p, offset in starts.items()])

    def _watermarks(self, partition: int) -> tuple[int, int]:
        return self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), REQUEST_TIMEOUT_S)

    @property
    def positions(self) -> dict[int, int]:
        """By partition, the offset below which there is nothing left to return."""
        return dict(self._positions)

    def _messages(self, timeout_ms: int) -> dict[int, list[Message]]:
        """Return what there is, by partition in the order of the log, and move the positions on.

        The library's own positions stay before the markers of transactions; an event says when the
        end of a partition was reached, and where that is.
        """
        # Asked for many at once the library waits for so many or for the whole timeout.
        polled = self._consumer.consume(1, timeout_ms / 1000)
        if polled and self._most > 1:
            polled += self._consumer.consume(self._most - 1, 0)
        found: defaultdict[int, list[Message]] = defaultdict(list)
        for message in polled:
            error, partition, offset = message.error(), message.partition(), message.offset()
            if error is None:
                assert partition is not None
                assert offset is not None
                found[partition].append(message)
                self._positions[partition] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                assert partition is not None
                assert offset is not None
                self._positions[partition] = max(self._positions[partition], offset)
            elif not error.retriable():
                raise KafkaException(self._failures.better_than(error))
        return found

    def poll(self, timeout_ms: int) -> list[PartitionBatch]:
        """Return what there is, one batch a partition, waiting up to ``timeout_ms`` for the first."""
        with self._translated("consume"):
            polled = self._messages(timeout_ms)
        batches = []
        for partition, messages in polled.items():
            n = len(messages)
            start = self._next[partition]
            self._next[partition] = following = self._positions[partition]
            batches.append(
                PartitionBatch(
                    topic=self.topic,
                    partition=partition,
                    start_offset=start,
                    next_offset=following,
                    values=[m.value() for m in messages],
                    keys=[m.key() for m in messages],
                    offsets=np.fromiter((m.offset() for m in messages), np.int64, n),
                    timestamps=np.fromiter((m.timestamp()[1] for m in messages), np.int64, n),
                    headers={row: dict(h) for row, m in enumerate(messages) if (h := _headers(m))},
                )
            )
        return batches

    def seek(self, partition: int, offset: int) -> None:
        """Go on reading ``partition`` at ``offset``."""
        self._next[partition] = self._positions[partition] = offset
        # The library's own seek is refused until the first fetch. This costs what was fetched
        # ahead, which is little beside why somebody seeks.
        with self._translated("seek"):
            self._assign(self._positions)

    def pause(self) -> None:
        """Fetch nothing until ``resume``. See AssignedConsumer."""
        with self._translated("pause"):
            self._consumer.pause(self._places())

    def resume(self) -> None:
        """Go on reading after ``pause``. See AssignedConsumer."""
        with self._translated("resume"):
            self._consumer.resume(self._places())

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, by partition, the next offset to read. Durable on return."""
        with self._translated("commit"), ExitStack() as moving:
            wanted = []
            for partition, offset in sorted(offsets.items()):
                committed = moving.enter_context(self._progress.moving(partition, offset))
                wanted.append(TopicPartition(self.topic, partition, committed.offset, committed.metadata))
            for tp in self._consumer.commit(offsets=wanted, asynchronous=False):
                if tp.error is not None:
                    raise KafkaException(tp.error)

    def beginning_offsets(self) -> dict[int, int]:
        """Return, by partition, the first offset that the broker still has."""
        with self._translated("read"):
            return {partition: self._watermarks(partition)[0] for partition in self._partitions}

    def end_offsets(self) -> dict[int, int]:
        """Return, by partition, the offset that the next record will get."""
        with self._translated("read"):
            return {partition: self._watermarks(partition)[1] for partition in self._partitions}

    def observe_fetches(self, seconds: Callable[[float], None]) -> None:
        """Call ``seconds`` every few seconds with the average duration of each broker's requests since."""
        self._observe = seconds

    def _fetched(self, seconds: float) -> None:
        if self._observe is not None:
            self._observe(seconds)

    def close(self) -> None:
        """Leave the broker. Commits nothing, so there is nothing to lose if it is gone already."""
        self._consumer.close()


def _headers(message: Message) -> list[tuple[str, bytes]]:
    # Those that are read are bytes; the library's annotation is of what may be sent.
    return cast(list[tuple[str, bytes]], message.headers() or [])
