"""The partition loop: poll, handle, commit, and what happens when handling fails."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.errors import VnpulseError

log = logging.getLogger(__name__)

POLL_TIMEOUT_MS = 200
"""How long a stop request may go unnoticed while there is nothing to read."""

BACKOFF_BASE_S = 0.25
BACKOFF_CAP_S = 15.0
"""Failures that pass by themselves are tried again after base x 2^n seconds, with jitter, up to the cap."""

ATTEMPTS_BEFORE_ISOLATING = 3
"""A failure that is not known to pass is tried this often before single records are suspected."""


class Source(Protocol):
    """Where batches come from; vnpulse.kafka.consumer.AssignedConsumer is the real one."""

    topic: str

    @property
    def positions(self) -> dict[int, int]: ...
    def poll(self, timeout_ms: int) -> list[PartitionBatch]: ...
    def seek(self, partition: int, offset: int) -> None: ...
    def commit(self, offsets: Mapping[int, int]) -> None: ...
    def close(self) -> None: ...


class Handler(Protocol):
    """What a consumer group does with the records of one poll.

    ``handle`` returns, by partition, the offset to go on from, after every effect of the records
    before it is durable. Normally that is the batch's ``next_offset``, which is then committed; an
    earlier one makes the loop seek back, and commits nothing. It must be idempotent: a batch may
    come again after any failure. It may raise; errors with ``retriable`` set are retried in place
    for as long as it takes.
    """

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]: ...
    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None: ...
    def close(self) -> None: ...


class LoopHealth(msgspec.Struct, frozen=True):
    """What a loop says of itself. Times are epoch seconds; 0 means never."""

    positions: dict[int, int]
    records: int
    last_poll_s: float
    last_record_s: float
    last_commit_s: float
    failing_since_s: float
    last_error: str


class PartitionLoop:
    """Consumes partitions until told to stop. One thread runs ``run``; others call ``health``, ``stop``.

    Each round does, in this order:

    1. poll. Nothing is lost if this fails: positions are where the last round left them.
    2. handle. On return the effects are durable. A retriable failure is tried again with backoff,
       for as long as it takes, so an outage of the store or an analyzer delays and never skips.
       Any other failure is tried a few times and then isolated: the batch is split in halves
       until single records fail alone, and those go to the dead-letter topic.
    3. commit what was handled to its end. If this fails the records come again, which handlers must bear.

    Stopping happens between rounds or between attempts; what was not committed comes again.
    """

    def __init__(
        self, source_factory: Callable[[], Source], handler: Handler, stopping: threading.Event | None = None
    ) -> None:
        self._source_factory = source_factory
        self._handler = handler
        self._stopping = stopping or threading.Event()
        self._positions: dict[int, int] = {}
        self._records = 0
        self._last_poll_s = 0.0
        self._last_record_s = 0.0
        self._last_commit_s = 0.0
        self._failing_since_s = 0.0
        self._last_error = ""
        self._failed_rounds = 0

    def stop(self) -> None:
        """Ask ``run`` to return; it finishes or abandons the current attempt first."""
        self._stopping.set()

    def health(self) -> LoopHealth:
        """Return the loop's state; may be called from any thread."""
        return LoopHealth(
            positions=dict(self._positions),
            records=self._records,
            last_poll_s=self._last_poll_s,
            last_record_s=self._last_record_s,
            last_commit_s=self._last_commit_s,
            failing_since_s=self._failing_since_s,
            last_error=self._last_error,
        )

    def run(self) -> None:
        """Consume until ``stop``. Opens the source itself, again and again if it must."""
        while not self._stopping.is_set():
            try:
                source = self._source_factory()
            except VnpulseError as error:
                if not error.retriable:
                    raise
                self._round_failed(error)
                continue
            try:
                self._positions = source.positions
                self._consume(source)
            except VnpulseError as error:
                # The broker went away between rounds: open the source again at what is committed.
                if not error.retriable:
                    raise
                self._round_failed(error)
            finally:
                source.close()
        self._handler.close()

    def _round_failed(self, error: VnpulseError) -> None:
        self._failed(error)
        self._back_off(self._failed_rounds)
        self._failed_rounds += 1

    def _round_succeeded(self) -> None:
        self._failed_rounds = 0
        self._failing_since_s = 0.0

    def _consume(self, source: Source) -> None:
        committed = source.positions
        while not self._stopping.is_set():
            batches = source.poll(POLL_TIMEOUT_MS)
            self._last_poll_s = time.time()
            if not batches:
                self._round_succeeded()
                continue
            reached = self._handle(batches)
            if reached is None:
                return
            done = {}
            for batch in batches:
                offset = reached[batch.partition]
                if offset == batch.next_offset:
                    if offset > committed[batch.partition]:
                        done[batch.partition] = offset
                else:
                    # What was committed stays so: its effects are out, only some state lacks it.
                    log.info("%s/%d: going back to offset %d", batch.topic, batch.partition, offset)
                    source.seek(batch.partition, offset)
            if done:
                source.commit(done)
                committed |= done
            self._positions = source.positions
            self._records += sum(map(len, batches))
            self._last_record_s = self._last_commit_s = time.time()
            self._round_succeeded()

    def _handle(self, batches: list[PartitionBatch]) -> dict[int, int] | None:
        """Handle ``batches`` whatever it takes; None if told to stop before that succeeded."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                return self._handler.handle(batches)
            except VnpulseError as error:
                self._failed(error)
                if not error.retriable and attempt + 1 >= ATTEMPTS_BEFORE_ISOLATING:
                    return self._isolate(batches, error, attempt + 1)
            except Exception as error:
                # A defect, ours or a library's, that some record brings out: it must neither stop
                # the partition nor take good records with it.
                log.exception("handling %s failed", batches[0].topic)
                self._failed(error)
                if attempt + 1 >= ATTEMPTS_BEFORE_ISOLATING:
                    return self._isolate(batches, error, attempt + 1)
            self._back_off(attempt)
            attempt += 1
        return None

    def _isolate(
        self, batches: list[PartitionBatch], error: Exception, attempts: int
    ) -> dict[int, int] | None:
        """Halve ``batches`` until the records that fail stand alone, and dead-letter those."""
        if len(batches) == 1 and len(batches[0]) <= 1:
            batch = batches[0]
            rejections = (
                [Rejection(0, "processing-error", f"{type(error).__name__}: {error}")] if len(batch) else []
            )
            return self._reject(batch, rejections, attempts)
        reached: dict[int, int] = {}
        for half in _halves(batches):
            if any(reached.get(batch.partition, batch.start_offset) < batch.start_offset for batch in half):
                continue  # the first half of this partition wants to go back; the rest comes again
            try:
                result: dict[int, int] | None = self._handler.handle(half)
            except Exception as inner:
                retriable = isinstance(inner, VnpulseError) and inner.retriable
                result = self._handle(half) if retriable else self._isolate(half, inner, attempts)
            if result is None:
                return None
            reached |= result
        return reached

    def _reject(
        self, batch: PartitionBatch, rejections: list[Rejection], attempts: int
    ) -> dict[int, int] | None:
        """Dead-letter ``rejections``, however long it takes: what cannot be kept is not passed over."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                self._handler.reject(batch, rejections, attempts)
                return {batch.partition: batch.next_offset}
            except Exception as error:
                if not (isinstance(error, VnpulseError) and error.retriable):
                    log.exception("dead-lettering from %s failed", batch.topic)
                self._failed(error)
            self._back_off(attempt)
            attempt += 1
        return None

    def _failed(self, error: Exception) -> None:
        self._last_error = f"{type(error).__name__}: {error}"
        if not self._failing_since_s:
            self._failing_since_s = time.time()
            log.warning("%s", error)

    def _back_off(self, attempt: int) -> None:
        delay_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(attempt, 16))
        self._stopping.wait(delay_s * random.uniform(0.5, 1.0))


def _halves(batches: list[PartitionBatch]) -> tuple[list[PartitionBatch], list[PartitionBatch]]:
    """Split by partition while there are several, else by rows; together they cover the same stretch."""
    if len(batches) > 1:
        middle = len(batches) // 2
        return batches[:middle], batches[middle:]
    batch = batches[0]
    middle = len(batch) // 2
    border = int(batch.offsets[middle])
    return [_rows(batch, slice(None, middle), batch.start_offset, border)], [
        _rows(batch, slice(middle, None), border, batch.next_offset)
    ]


def _rows(batch: PartitionBatch, rows: slice, start: int, following: int) -> PartitionBatch:
    return PartitionBatch(
        topic=batch.topic,
        partition=batch.partition,
        start_offset=start,
        next_offset=following,
        values=batch.values[rows],
        keys=batch.keys[rows],
        offsets=batch.offsets[rows],
        timestamps=batch.timestamps[rows],
    )
