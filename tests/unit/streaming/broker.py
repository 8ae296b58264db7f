"""A broker in memory, and what a loop over it is made of; all of it notes what was asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.errors import VnpulseError
from vnpulse.streaming.loop import PartitionLoop
from vnpulse.streaming.retries import RetrySettings

TOPIC = "stock_prices_raw"
RETRY = RetrySettings()
NEVER = threading.TIMEOUT_MAX
"""Handling is never long: a busy machine's pauses are none of a test's."""


class Refused(VnpulseError):
    """An error on purpose that does not pass by itself."""


class ImpatientEvent(threading.Event):
    """Waits for nothing and notes for how long it was asked to; gives up on a loop that never ends."""

    MOST_WAITS = 300

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if len(self.waits) > self.MOST_WAITS:
            raise AssertionError("the loop goes on failing")
        return self.is_set()


@dataclass
class Broker:
    """One topic and a group's committed offsets. When all is read, it tells the loop to stop."""

    logs: dict[int, list[bytes]]
    stopping: ImpatientEvent = field(default_factory=ImpatientEvent)
    records_per_poll: int = 100
    start: dict[int, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    open_errors: list[Exception] = field(default_factory=list)
    poll_errors: list[Exception] = field(default_factory=list)
    commit_errors: list[Exception] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    polls: int = 0

    def open(self) -> BrokerSource:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1
        return BrokerSource(self)


class BrokerSource:
    topic = TOPIC
    paused = False

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._next = {p: broker.committed.get(p, broker.start.get(p, 0)) for p in broker.logs}

    @property
    def positions(self) -> dict[int, int]:
        return dict(self._next)

    def poll(self, timeout_ms: int) -> list[PartitionBatch]:
        broker = self._broker
        broker.polls += 1
        if broker.polls > 1_000:
            raise AssertionError("the loop polls without end")
        if broker.poll_errors:
            raise broker.poll_errors.pop(0)
        batches = []
        for partition, log in broker.logs.items():
            first = self._next[partition]
            start = broker.start.get(partition, 0)
            values = log[first - start :][: broker.records_per_poll]
            if not values:
                continue
            self._next[partition] = following = first + len(values)
            offsets = np.arange(first, following, dtype=np.int64)
            batches.append(
                PartitionBatch(
                    TOPIC, partition, first, following, list(values), [b"K"] * len(values), offsets, offsets
                )
            )
        if not batches:
            broker.stopping.set()
        return batches

    def seek(self, partition: int, offset: int) -> None:
        self._broker.events.append(f"seek {partition}@{offset}")
        self._next[partition] = offset

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self._broker.commit_errors:
            raise self._broker.commit_errors.pop(0)
        self._broker.committed |= offsets
        self._broker.events += [f"commit {p}@{o}" for p, o in offsets.items()]

    def pause(self) -> None:
        self._broker.events.append("pause")
        self.paused = True

    def resume(self) -> None:
        self._broker.events.append("resume")
        self.paused = False

    def close(self) -> None:
        self._broker.closed += 1


class NotingHandler:
    """Notes what it handled; ``before`` may raise, ``reached`` may send a batch back."""

    def __init__(
        self,
        broker: Broker,
        before: Callable[[list[PartitionBatch]], None] = lambda batches: None,
        reached: Callable[[PartitionBatch], int] = lambda batch: batch.next_offset,
    ) -> None:
        self._broker = broker
        self._before = before
        self._reached = reached
        self.calls: list[list[bytes | None]] = []
        self.handled: list[tuple[int, int]] = []
        self.stretches: list[tuple[int, int, int]] = []
        self.rejected: list[tuple[int, int, bytes | None, Rejection, int]] = []
        self.reject_errors: list[Exception] = []
        self.settled_to: dict[int, int] = {}
        self.closed = 0

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        self.calls.append([value for batch in batches for value in batch.values])
        self._before(batches)
        reached = {batch.partition: self._reached(batch) for batch in batches}
        for batch in batches:
            self.stretches.append((batch.partition, batch.start_offset, batch.next_offset))
            if reached[batch.partition] == batch.next_offset:
                self.handled += [(batch.partition, offset) for offset in batch.offsets.tolist()]
                self._broker.events.append(f"handle {batch.partition}@{batch.next_offset}")
        return reached

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        if self.reject_errors:
            raise self.reject_errors.pop(0)
        for rejection in rejections:
            offset = int(batch.offsets[rejection.row])
            value = batch.values[rejection.row]
            self.rejected.append((batch.partition, offset, value, rejection, attempts))

    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        return {}

    def settled(self, partition: int, offset: int) -> None:
        self.settled_to[partition] = offset

    def close(self) -> None:
        self.closed += 1


@dataclass
class NotingOutputs:
    """Publishes by noting it; ``errors`` come, by partition, at its next publications."""

    broker: Broker
    transactional: bool = False
    errors: dict[int, list[Exception]] = field(default_factory=dict)
    claimed: int = 0
    discarded: int = 0
    closed: int = 0

    def claim(self) -> None:
        assert self.broker.opened == self.broker.closed, "before the committed offsets are read"
        self.claimed += 1

    def send(self, *_: object) -> None:
        raise AssertionError("the handler here sends nothing")

    def publish(self, offsets: Mapping[int, int]) -> Iterator[int]:
        failure: Exception | None = None
        for partition, offset in offsets.items():
            if self.errors.get(partition):
                failure = self.errors[partition].pop(0)
                continue
            if self.transactional:
                self.broker.committed[partition] = offset
                self.broker.events.append(f"transaction {partition}@{offset}")
            yield partition
        if failure is not None:
            raise failure

    def discard(self) -> None:
        self.discarded += 1

    def close(self) -> None:
        self.closed += 1


def records(n: int, partition: int = 0) -> list[bytes]:
    return [f"p{partition}r{i}".encode() for i in range(n)]


def run(
    broker: Broker,
    handler: NotingHandler,
    outputs: NotingOutputs | None = None,
    retry: RetrySettings = RETRY,
    source: type[BrokerSource] | None = None,
    pause_after_s: float = NEVER,
) -> PartitionLoop:
    """Consume all there is, by way of ``source``."""
    opened = (lambda: source(broker)) if source is not None else broker.open
    loop = PartitionLoop(
        opened, handler, outputs or NotingOutputs(broker), retry, broker.stopping, pause_after_s
    )
    loop.run()
    return loop


def failing_first(times: int, error: Exception) -> Callable[[list[PartitionBatch]], None]:
    left = [error] * times

    def fail(batches: list[PartitionBatch]) -> None:
        if left:
            raise left.pop()

    return fail


def failing_on(*poison: bytes, error: Exception) -> Callable[[list[PartitionBatch]], None]:
    def fail(batches: list[PartitionBatch]) -> None:
        if any(value in poison for batch in batches for value in batch.values):
            raise error

    return fail


def everything(broker: Broker) -> list[tuple[int, int]]:
    return [(p, o + broker.start.get(p, 0)) for p, log in broker.logs.items() for o in range(len(log))]
