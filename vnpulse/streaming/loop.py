"""The partition loop: poll, handle, commit, and what happens when handling fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

import msgspec
import numpy as np

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.errors import StartOver, VnpulseError
from vnpulse.streaming.outputs import Outputs
from vnpulse.streaming.retries import RetrySettings

log = logging.getLogger(__name__)

POLL_TIMEOUT_MS = 200
"""How long a stop request may go unnoticed while there is nothing to read."""

PAUSE_AFTER_S = 1.0
"""A handler that takes longer waits for somebody slower than us: back-pressure, which then shows."""


WAITING_POLL_TIMEOUT_MS = 20
"""The same while a handler keeps records back: by so much can their being let go come late."""


class Source(Protocol):
    """Where batches come from; vnpulse.kafka.consumer.AssignedConsumer is the real one."""

    topic: str

    @property
    def positions(self) -> dict[int, int]: ...
    def poll(self, timeout_ms: int) -> list[PartitionBatch]: ...
    def seek(self, partition: int, offset: int) -> None: ...
    def commit(self, offsets: Mapping[int, int]) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


class Handler(Protocol):
    """What a consumer group does with the records of one poll.

    ``handle`` returns, by partition, the offset to go on from, after every effect of the records
    before it is durable, but for what it sent to its outputs: the loop publishes that. Normally
    the offset is the batch's ``next_offset``, which is then committed; an earlier one makes the
    loop seek back, and commits nothing. It must be idempotent: a batch may come again after any
    failure. It may raise; errors with ``retriable`` set are retried in place.

    A handler may keep records back and go on reading: it has less committed (``Holding``),
    and names in ``waiting`` the partitions whose records it has, with the offset that it has read to.
    It gets an empty batch of those when nothing comes, soon and again and again, and returns no offset
    for it while nothing is due. Before each poll it is told where the source is: all below was handled.

    ``settled`` is called when all effects below an offset are out and will not be repeated: state
    that decides about effects moves on there and not before.
    """

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]: ...
    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None: ...
    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]: ...
    def settled(self, partition: int, offset: int) -> None: ...
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
    pauses: int
    """How often reading was paused because handling took longer than PAUSE_AFTER_S."""
    paused_since_s: float
    oldest_s: float
    """When the broker got the oldest record that is being handled; 0 while nothing is in hand."""


_Pending = dict[int, PartitionBatch]


class PartitionLoop:
    """Consumes partitions until told to stop. One thread runs ``run``; others call ``health``, ``stop``.

    Each round does, in this order:

    1. poll. Nothing is lost if this fails: positions are where the last round left them.
    2. handle. On return the effects are durable, but for what was sent. While an outage lasts the
       same batch is tried again with backoff, so it delays and never skips. A failure of unknown
       reason is tried a few times and then isolated: the batch is split in halves until single
       records fail alone, and those go to the dead-letter topic.
    3. publish what was sent. With transactions this is one for each partition, and commits its
       offset; a partition that fails here goes back to step 2 without the others.
    4. without transactions, commit. If this fails the records come again, which handlers must bear.

    One poll's records are in hand, no more. Handling has a thread of its own; when it takes long, the
    partitions are paused, so that nothing is fetched that there is no room for, and polled all the
    same, so that the connection lives. Nobody takes the partitions away: they are assigned. Stopping
    happens between rounds or between attempts; what was not committed
    comes again. ``run`` raises StartOver if another process has claimed a partition, or if it cannot be
    known whether a transaction was committed.
    """

    def __init__(
        self,
        source_factory: Callable[[], Source],
        handler: Handler,
        outputs: Outputs,
        retry: RetrySettings | None = None,
        stopping: threading.Event | None = None,
        pause_after_s: float = PAUSE_AFTER_S,
    ) -> None:
        self._source_factory = source_factory
        self._handler = handler
        self._outputs = outputs
        self._retry = retry or RetrySettings()
        self._stopping = stopping or threading.Event()
        self._committed: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._records = 0
        self._last_poll_s = 0.0
        self._last_record_s = 0.0
        self._last_commit_s = 0.0
        self._failing_since_s = 0.0
        self._last_error = ""
        self._failed_rounds = 0
        self._pause_after_s = pause_after_s
        self._pauses = 0
        self._paused_since_s = 0.0
        self._oldest_s = 0.0
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="handling")

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
            pauses=self._pauses,
            paused_since_s=self._paused_since_s,
            oldest_s=self._oldest_s,
        )

    def run(self) -> None:
        """Consume until ``stop``. Opens the source itself, again and again if it must."""
        try:
            while not self._stopping.is_set():
                try:
                    # Before the committed offsets are read: after this nobody else can move them.
                    self._outputs.claim()
                    source = self._source_factory()
                except VnpulseError as error:
                    if not error.retriable:
                        raise
                    self._round_failed(error)
                    continue
                try:
                    self._committed, self._positions = source.positions, source.positions
                    self._consume(source)
                except VnpulseError as error:
                    # The broker went away between rounds: open the source again at what is committed.
                    if not error.retriable:
                        raise
                    self._round_failed(error)
                finally:
                    source.close()
            self._handler.close()
        finally:
            self._hands.shutdown(wait=False)
            self._outputs.close()

    def _round_failed(self, error: VnpulseError) -> None:
        self._failed(error)
        self._back_off(self._failed_rounds)
        self._failed_rounds += 1

    def _round_succeeded(self) -> None:
        self._failed_rounds = 0
        self._failing_since_s = 0.0

    def _consume(self, source: Source) -> None:
        while not self._stopping.is_set():
            before = source.positions
            waiting = self._handler.waiting(before)
            batches = source.poll(WAITING_POLL_TIMEOUT_MS if waiting else POLL_TIMEOUT_MS)
            self._last_poll_s = time.time()
            polled = {batch.partition for batch in batches}
            batches += [
                _nothing(source.topic, partition, read_to, max(read_to, before[partition]))
                for partition, read_to in waiting.items()
                if partition not in polled
            ]
            if batches:
                self._oldest_s = min((int(b.timestamps[0]) for b in batches if len(b)), default=0) / 1000
                try:
                    if not self._process(source, batches):
                        return
                finally:
                    self._oldest_s = 0.0
                self._positions = source.positions
                self._records += sum(map(len, batches))
                if polled:
                    self._last_record_s = self._last_commit_s = time.time()
            else:
                self._pass_markers(source)
            self._round_succeeded()

    def _pass_markers(self, source: Source) -> None:
        """Commit offsets that hold no record, so that who has read everything has no lag."""
        passed = {p: offset for p, offset in source.positions.items() if offset > self._committed[p]}
        if passed:
            for partition in self._outputs.publish(passed):
                if self._outputs.transactional:
                    self._committed[partition] = passed[partition]
            self._commit(source, passed)
            self._positions = source.positions

    def _process(self, source: Source, batches: list[PartitionBatch], attempts: int = 0) -> bool:
        """Handle and settle ``batches`` whatever it takes; False if told to stop before that succeeded.

        ``attempts`` is how often they have failed as part of something larger.
        """
        pending = {batch.partition: batch for batch in batches}
        retries = 0
        while not self._stopping.is_set():
            try:
                forward = self._attempt(source, pending, self._handler.handle)
            except StartOver:
                raise
            except Exception as error:
                self._failed(error)
                attempts += 1
                outage = isinstance(error, VnpulseError) and error.retriable
                verdict = self._retry.verdict(error, retries + 1 if outage else attempts)
                if verdict == "isolate":
                    return self._isolate(source, list(pending.values()), error, attempts)
                if verdict == "dead_letter":
                    return self._give_up(source, list(pending.values()), error, attempts)
                self._back_off(retries)
                retries += 1
            else:
                self._commit(source, forward)
                return True
        return False

    def _attempt(
        self,
        source: Source,
        pending: _Pending,
        handle: Callable[[list[PartitionBatch]], dict[int, int]],
    ) -> dict[int, int]:
        """Handle what is ``pending`` once, and take out of it what was settled.

        Returns the offsets that are to be committed, none of which lies behind a committed one.
        """
        try:
            reached = self._handled(source, handle, list(pending.values()))
            done: dict[int, int] = {}
            for partition, batch in list(pending.items()):
                if partition not in reached:
                    del pending[partition]  # without records, and nothing that was kept back is due
                elif reached[partition] == batch.next_offset:
                    done[partition] = batch.next_offset
                else:
                    # What was committed stays so: its effects are out, only some state lacks it.
                    log.info("%s/%d: going back to offset %d", batch.topic, partition, reached[partition])
                    source.seek(partition, reached[partition])
            # A batch without records is there for what was kept back before.
            forward = {
                p: offset
                for p, offset in done.items()
                if offset > self._committed[p] or (offset == self._committed[p] and not len(pending[p]))
            }
            for partition in self._outputs.publish(forward):
                self._settle(pending, partition, forward[partition])
            for partition in done.keys() - forward.keys():
                self._settle(pending, partition, done[partition])
        except Exception:
            self._outputs.discard()
            raise
        return forward

    def _handled(
        self,
        source: Source,
        handle: Callable[[list[PartitionBatch]], dict[int, int]],
        batches: list[PartitionBatch],
    ) -> dict[int, int]:
        """Handle ``batches``; while that takes long, keep the source paused and alive."""
        work = self._hands.submit(handle, batches)
        if wait([work], self._pause_after_s).not_done:
            self._pauses += 1
            self._paused_since_s = time.time()
            source.pause()
            try:
                while not work.done():
                    self._idle(source, work)
                    self._last_poll_s = time.time()
            finally:
                source.resume()
                self._paused_since_s = 0.0
        return work.result()

    def _idle(self, source: Source, work: Future[dict[int, int]]) -> None:
        """Poll a paused source once, or wait for as long if it cannot be polled."""
        try:
            for batch in source.poll(POLL_TIMEOUT_MS):
                # Fetched before the pause took hold.
                source.seek(batch.partition, batch.start_offset)
        except VnpulseError:
            # It will be met again by whoever needs the broker; first the work in hand must end.
            wait([work], POLL_TIMEOUT_MS / 1000)

    def _settle(self, pending: _Pending, partition: int, offset: int) -> None:
        del pending[partition]
        if self._outputs.transactional:
            self._committed[partition] = max(self._committed[partition], offset)
        self._handler.settled(partition, offset)

    def _commit(self, source: Source, forward: dict[int, int]) -> None:
        if forward and not self._outputs.transactional:
            source.commit(forward)
            self._committed |= forward

    def _isolate(
        self, source: Source, batches: list[PartitionBatch], error: Exception, attempts: int
    ) -> bool:
        """Halve ``batches`` until the records that fail stand alone, and dead-letter those."""
        if len(batches) == 1 and len(batches[0]) <= 1:
            return self._give_up(source, batches, error, attempts)
        for half in _halves(batches):
            # If the first half of a partition wants to go back, the rest comes again with it.
            wanted = [b for b in half if source.positions[b.partition] >= b.next_offset]
            if wanted and not self._process(source, wanted, max(attempts, self._retry.max)):
                return False
        return True

    def _give_up(
        self, source: Source, batches: list[PartitionBatch], error: Exception, attempts: int
    ) -> bool:
        """Dead-letter all of ``batches``, however long that takes: what cannot be kept is not passed over."""
        kind = type(error).__name__
        retriable = isinstance(error, VnpulseError) and error.retriable
        reason = "outage" if retriable else "processing-error"

        def reject(batches: list[PartitionBatch]) -> dict[int, int]:
            for batch in batches:
                rejections = [Rejection(row, reason, f"{kind}: {error}", kind) for row in range(len(batch))]
                self._handler.reject(batch, rejections, attempts)
            return {batch.partition: batch.next_offset for batch in batches}

        pending = {batch.partition: batch for batch in batches}
        retries = 0
        while not self._stopping.is_set():
            try:
                forward = self._attempt(source, pending, reject)
            except StartOver:
                raise
            except Exception as failure:
                if not (isinstance(failure, VnpulseError) and failure.retriable):
                    log.exception("dead-lettering from %s failed", batches[0].topic)
                self._failed(failure)
                self._back_off(retries)
                retries += 1
            else:
                self._commit(source, forward)
                return True
        return False

    def _failed(self, error: Exception) -> None:
        self._last_error = f"{type(error).__name__}: {error}"
        if not isinstance(error, VnpulseError):
            # A defect, ours or a library's, that some record brings out: it must neither stop the
            # partition nor take good records with it, but it must be seen.
            log.error("%s", self._last_error, exc_info=error)
        elif not self._failing_since_s:
            log.warning("%s", error)
        if not self._failing_since_s:
            self._failing_since_s = time.time()

    def _back_off(self, retry: int) -> None:
        self._stopping.wait(self._retry.wait_s(retry))


def _nothing(topic: str, partition: int, start: int, following: int) -> PartitionBatch:
    none = np.empty(0, np.int64)
    return PartitionBatch(topic, partition, start, following, [], [], none, none)


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
    first, last, _ = rows.indices(len(batch))
    return PartitionBatch(
        topic=batch.topic,
        partition=batch.partition,
        start_offset=start,
        next_offset=following,
        values=batch.values[rows],
        keys=batch.keys[rows],
        offsets=batch.offsets[rows],
        timestamps=batch.timestamps[rows],
        headers={row - first: found for row, found in batch.headers.items() if first <= row < last},
    )
