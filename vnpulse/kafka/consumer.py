"""A consumer that hands over batches of columns for partitions that somebody else chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata, TopicPartition

from vnpulse.batches import PartitionBatch
from vnpulse.errors import VnpulseError
from vnpulse.kafka.client_sensors import FETCH_LATENCY, observe
from vnpulse.kafka.connection import client_options, translated
from vnpulse.kafka.progress import Committed, Progress, SoleProgress
from vnpulse.kafka.settings import KafkaSettings

COMMIT_TIMEOUT_MS = 30_000


class LoggedRecord(NamedTuple):
    """One record with its headers; ``timestamp`` is epoch milliseconds of the append."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    raw_headers: list[tuple[str, bytes]]


class AssignedConsumer:
    """Reads given partitions of one topic; offsets are committed by hand, under ``group``.

    Partitions are assigned, not subscribed: Ray decides who reads what, so there is no rebalance,
    and a slow batch cannot cost a partition. Committed offsets are the group's all the same, and
    ordinary Kafka tools show them.

    Not thread-safe; one thread owns it. A batch covers the stretch from where the previous one
    ended (or a seek pointed), so holes that retention or transactions leave are not mistaken for
    missing data. The markers that end transactions are no records, but take offsets: ``positions``
    move past them also when ``poll`` returns nothing.
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
        """Assign ``partitions`` of ``topic`` and take up each at its committed offset.

        Without a committed offset (or a ``group``), at ``auto_offset_reset``. ``progress`` is for
        several consumers of one group on the same partitions. Raises BrokerUnavailable,
        KafkaRefused.
        """
        self._settings = settings
        self._progress = progress or SoleProgress()
        self.topic = topic
        tuning = settings.consumer
        with translated(settings, f"consume {topic}"):
            self._consumer = KafkaConsumer(
                **client_options(settings, client_id),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset=tuning.auto_offset_reset,
                max_poll_records=tuning.max_poll_records,
                fetch_min_bytes=tuning.fetch_min_bytes,
                fetch_max_wait_ms=tuning.fetch_max_wait_ms,
                session_timeout_ms=tuning.session_timeout_ms,
                heartbeat_interval_ms=tuning.heartbeat_interval_ms,
                isolation_level="read_committed" if read_committed else "read_uncommitted",
            )
            self._assigned = [TopicPartition(topic, p) for p in partitions]
            try:
                self._consumer.assign(self._assigned)
                # Asking for the position settles it now (committed offset, else the reset policy),
                # so that the first batch knows where it starts.
                self._next: dict[int, int] = {
                    tp.partition: self._consumer.position(tp) for tp in self._assigned
                }
                self._positions = dict(self._next)
                if group is not None:
                    self._resume()
            except (KafkaError, VnpulseError):
                self.close()  # nobody else can: nobody gets this object
                raise

    def _resume(self) -> None:
        """Go to where this loop was, which what is committed for the group may not say alone."""
        for tp in self._assigned:
            found = self._consumer.committed(tp, metadata=True)
            metadata = found.metadata if found is not None else ""
            start = self._progress.resumed(tp.partition, Committed(self._next[tp.partition], metadata))
            if start != self._next[tp.partition]:
                self.seek(tp.partition, start)

    @property
    def positions(self) -> dict[int, int]:
        """By partition, the offset below which there is nothing left to return."""
        return dict(self._positions)

    def _poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        with translated(self._settings, f"consume {self.topic}"):
            polled: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=timeout_ms)
            self._positions = {tp.partition: self._consumer.position(tp) for tp in self._assigned}
        return polled

    def poll(self, timeout_ms: int) -> list[PartitionBatch]:
        """Return what there is, one batch a partition, waiting up to ``timeout_ms`` for the first."""
        batches = []
        for tp, records in self._poll(timeout_ms).items():
            n = len(records)
            start = self._next[tp.partition]
            self._next[tp.partition] = following = self._positions[tp.partition]
            batches.append(
                PartitionBatch(
                    topic=tp.topic,
                    partition=tp.partition,
                    start_offset=start,
                    next_offset=following,
                    values=[r.value for r in records],
                    keys=[r.key for r in records],
                    offsets=np.fromiter((r.offset for r in records), np.int64, n),
                    timestamps=np.fromiter((r.timestamp for r in records), np.int64, n),
                    headers={row: dict(r.headers) for row, r in enumerate(records) if r.headers},
                )
            )
        return batches

    def poll_records(self, timeout_ms: int) -> list[LoggedRecord]:
        """Return records whole, with their headers: for people looking at dead letters."""
        found = []
        for tp, records in self._poll(timeout_ms).items():
            for r in records:
                headers = {name: value.decode("utf-8", "replace") for name, value in r.headers}
                found.append(
                    LoggedRecord(
                        tp.partition, r.offset, r.timestamp, r.key, r.value, headers, list(r.headers)
                    )
                )
        return found

    def seek(self, partition: int, offset: int) -> None:
        """Go on reading ``partition`` at ``offset``."""
        with translated(self._settings, f"seek {self.topic}"):
            self._consumer.seek(TopicPartition(self.topic, partition), offset)
        self._next[partition] = self._positions[partition] = offset

    def pause(self) -> None:
        """Fetch nothing until ``resume``; ``poll`` then returns nothing and keeps the connection alive."""
        self._consumer.pause(*self._assigned)

    def resume(self) -> None:
        """Go on reading after ``pause``."""
        self._consumer.resume(*self._assigned)

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, by partition, the next offset to read. Durable on return."""
        with translated(self._settings, f"commit {self.topic}"), ExitStack() as moving:
            wanted = {}
            for partition, offset in sorted(offsets.items()):
                committed = moving.enter_context(self._progress.moving(partition, offset))
                wanted[TopicPartition(self.topic, partition)] = OffsetAndMetadata(*committed, -1)
            self._consumer.commit(wanted, timeout_ms=COMMIT_TIMEOUT_MS)

    def beginning_offsets(self) -> dict[int, int]:
        """Return, by partition, the first offset that the broker still has."""
        with translated(self._settings, f"read {self.topic}"):
            return {tp.partition: o for tp, o in self._consumer.beginning_offsets(self._assigned).items()}

    def end_offsets(self) -> dict[int, int]:
        """Return, by partition, the offset that the next record will get."""
        with translated(self._settings, f"read {self.topic}"):
            return {tp.partition: o for tp, o in self._consumer.end_offsets(self._assigned).items()}

    def observe_fetches(self, seconds: Callable[[float], None]) -> None:
        """Call ``seconds`` with the duration of every fetch request, from now on, on any thread."""
        observe(self._consumer, FETCH_LATENCY, seconds)

    def close(self) -> None:
        """Leave the broker. Commits nothing, so there is nothing to lose if it is gone already."""
        with suppress(KafkaError):
            self._consumer.close()
