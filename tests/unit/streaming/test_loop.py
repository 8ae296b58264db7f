"""The loop's promise: handle, then commit; nothing is skipped, and a bad record costs no good one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.errors import BrokerUnavailable, PartitionTaken, StoreUnavailable, VnpulseError
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

    def __init__(self, most_waits: int = 200) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._most_waits = most_waits

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if len(self.waits) > self._most_waits:
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

    def resume(self) -> None:
        self._broker.events.append("resume")

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


def test_offsets_are_committed_after_the_records_were_handled_and_not_before() -> None:
    broker = Broker({0: records(5)}, records_per_poll=2)
    run(broker, NotingHandler(broker))
    assert broker.events == [
        "handle 0@2", "commit 0@2", "handle 0@4", "commit 0@4", "handle 0@5", "commit 0@5",
    ]  # fmt: skip


def test_all_partitions_of_a_poll_are_handled_together_and_committed() -> None:
    broker = Broker({0: records(3), 4: records(2, 4)})
    handler = NotingHandler(broker)
    loop = run(broker, handler)
    assert len(handler.calls) == 1
    assert broker.committed == {0: 3, 4: 2}
    assert loop.health().positions == {0: 3, 4: 2}
    assert loop.health().records == 5


def test_stopping_closes_the_source_and_the_handler_once() -> None:
    broker = Broker({0: records(1)})
    handler = NotingHandler(broker)
    run(broker, handler)
    assert (broker.opened, broker.closed, handler.closed) == (1, 1, 1)


def test_a_retriable_failure_is_tried_again_for_as_long_as_it_takes_and_skips_nothing() -> None:
    broker = Broker({0: records(4)}, records_per_poll=2)
    handler = NotingHandler(broker, failing_first(50, StoreUnavailable("away")))
    run(broker, handler)
    assert handler.calls[:51] == [[b"p0r0", b"p0r1"]] * 51
    assert handler.handled == everything(broker)
    assert handler.rejected == []
    assert broker.committed == {0: 4}


def test_waits_between_attempts_grow_and_are_capped() -> None:
    broker = Broker({0: records(1)})
    run(broker, NotingHandler(broker, failing_first(40, StoreUnavailable("away"))))
    waits = broker.stopping.waits
    for n, wait in enumerate(waits):
        assert wait == pytest.approx(min(2.0**n, RETRY.cap_s), rel=RETRY.jitter)


def test_waits_grow_while_every_round_fails_although_the_source_opens() -> None:
    broker = Broker({0: records(1)}, poll_errors=[BrokerUnavailable("away")] * 20)
    run(broker, NotingHandler(broker))
    assert broker.committed == {0: 1}
    assert max(broker.stopping.waits) > RETRY.cap_s / 4


def test_health_names_the_failure_while_it_lasts_and_forgets_it_afterwards() -> None:
    broker = Broker({0: records(1)})
    seen = []

    def fail_twice(batches: list[PartitionBatch]) -> None:
        seen.append((loop.health().last_error, loop.health().failing_since_s > 0))
        if len(seen) <= 2:
            raise StoreUnavailable("no store")

    handler = NotingHandler(broker, fail_twice)
    loop = PartitionLoop(broker.open, handler, NotingOutputs(broker), RETRY, broker.stopping, NEVER)
    loop.run()
    assert seen == [("", False), ("StoreUnavailable: no store", True), ("StoreUnavailable: no store", True)]
    assert loop.health().failing_since_s == 0


def test_a_loop_that_has_its_broker_back_is_not_failing_although_no_record_comes() -> None:
    broker = Broker({0: []}, open_errors=[BrokerUnavailable("away")])
    loop = run(broker, NotingHandler(broker))
    assert broker.polls > 0
    assert loop.health().failing_since_s == 0


@pytest.mark.parametrize("error", [ValueError("defect"), Refused("no")])
def test_a_poison_record_goes_to_the_dead_letters_and_the_rest_goes_through(error: Exception) -> None:
    broker = Broker({0: records(37)})
    handler = NotingHandler(broker, failing_on(b"p0r13", error=error))
    run(broker, handler)
    [(partition, offset, value, rejection, attempts)] = handler.rejected
    assert (partition, offset, value, rejection.row) == (0, 13, b"p0r13", 0)
    assert rejection.reason == "processing-error"
    assert str(error) in rejection.message
    assert attempts >= 3
    assert handler.handled == [(0, o) for o in range(37) if o != 13]
    assert broker.committed == {0: 37}


def test_a_failure_that_may_pass_is_not_taken_for_a_poison_record_at_once() -> None:
    broker = Broker({0: records(8)})
    handler = NotingHandler(broker, failing_first(2, RuntimeError("hiccup")))
    run(broker, handler)
    assert handler.rejected == []
    assert len(handler.calls) == 3
    assert handler.handled == everything(broker)


def test_poison_records_at_both_ends_of_several_partitions_are_isolated() -> None:
    broker = Broker({0: records(6), 1: records(5, 1), 2: records(1, 2)})
    poison = (b"p0r0", b"p0r5", b"p1r4", b"p2r0")
    handler = NotingHandler(broker, failing_on(*poison, error=KeyError("x")))
    run(broker, handler)
    assert sorted(value for _, _, value, _, _ in handler.rejected if value) == sorted(poison)
    bad = {(0, 0), (0, 5), (1, 4), (2, 0)}
    assert sorted(handler.handled) == sorted(set(everything(broker)) - bad)
    assert broker.committed == {0: 6, 1: 5, 2: 1}


def test_a_batch_of_nothing_but_poison_is_dead_lettered_whole_and_committed() -> None:
    broker = Broker({0: records(4)})
    handler = NotingHandler(broker, failing_on(*records(4), error=ZeroDivisionError()))
    run(broker, handler)
    assert [offset for _, offset, _, _, _ in handler.rejected] == [0, 1, 2, 3]
    assert broker.committed == {0: 4}


def test_isolated_parts_cover_the_stretch_of_the_log_without_a_gap() -> None:
    broker = Broker({0: records(9)}, start={0: 1_000})
    handler = NotingHandler(broker, failing_on(b"p0r4", error=ValueError()))
    run(broker, handler)
    covered = sorted((first, following) for _, first, following in handler.stretches)
    covered = sorted([*covered, (1_004, 1_005)])
    assert covered[0][0] == 1_000
    assert covered[-1][1] == 1_009
    assert all(a[1] == b[0] for a, b in pairwise(covered))


def test_an_outage_while_isolating_delays_and_loses_nothing() -> None:
    broker = Broker({0: records(16)})
    outage = [StoreUnavailable("away")] * 5

    def fail(batches: list[PartitionBatch]) -> None:
        values = [value for batch in batches for value in batch.values]
        if len(values) == 4 and outage:
            raise outage.pop()
        if b"p0r9" in values:
            raise ValueError("poison")

    handler = NotingHandler(broker, fail)
    run(broker, handler)
    assert [offset for _, offset, _, _, _ in handler.rejected] == [9]
    assert sorted(handler.handled) == [(0, o) for o in range(16) if o != 9]
    assert broker.committed == {0: 16}


@pytest.mark.parametrize("failure", [BrokerUnavailable("away"), ValueError("refused")])
def test_dead_lettering_that_fails_is_tried_again_and_nothing_is_passed_over(failure: Exception) -> None:
    broker = Broker({0: records(4)})
    handler = NotingHandler(broker, failing_on(b"p0r2", error=ValueError()))
    handler.reject_errors = [failure]
    run(broker, handler)
    assert broker.opened == 1
    assert [offset for _, offset, _, _, _ in handler.rejected] == [2]
    assert {o for _, o in handler.handled} == {0, 1, 3}
    assert broker.committed == {0: 4}


def test_an_earlier_offset_makes_the_loop_seek_back_and_read_again() -> None:
    broker = Broker({0: records(6)}, records_per_poll=3)
    lost = [True]

    def reached(batch: PartitionBatch) -> int:
        # The analyzer restarts between the two batches and knows nothing any more.
        if batch.start_offset == 3 and lost.pop():
            return 1
        return batch.next_offset

    def refill(batch: PartitionBatch) -> int:
        if not lost and batch.start_offset == 3:
            return batch.next_offset
        return reached(batch)

    handler = NotingHandler(broker, reached=refill)
    run(broker, handler)
    assert broker.events == [
        "handle 0@3", "commit 0@3", "seek 0@1", "handle 0@4", "commit 0@4", "handle 0@6", "commit 0@6",
    ]  # fmt: skip


def test_catching_up_does_not_take_the_committed_offset_back() -> None:
    broker = Broker({0: records(8)}, records_per_poll=2)
    known, restarts = [0], [0]

    def reached(batch: PartitionBatch) -> int:
        if batch.start_offset == 6 and restarts:
            known[0] = restarts.pop()
        if batch.start_offset > known[0]:
            return known[0]
        known[0] = batch.next_offset
        return known[0]

    handler = NotingHandler(broker, reached=reached)
    run(broker, handler)
    committed = [int(event.split("@")[1]) for event in broker.events if event.startswith("commit")]
    assert "seek 0@0" in broker.events
    assert committed == sorted(committed)
    assert committed[-1] == 8


def test_only_the_partition_that_lacks_something_goes_back() -> None:
    broker = Broker({0: records(2), 1: records(2, 1)}, start={0: 10, 1: 20}, committed={0: 10, 1: 20})
    went_back: list[int] = []

    def reached(batch: PartitionBatch) -> int:
        if batch.partition == 1 and not went_back:
            went_back.append(1)
            return 20
        return batch.next_offset

    handler = NotingHandler(broker, reached=reached)
    run(broker, handler)
    assert [event for event in broker.events if event.startswith("seek")] == ["seek 1@20"]
    assert handler.handled == [(0, 10), (0, 11), (1, 20), (1, 21)]


def test_when_the_first_half_must_go_back_the_second_is_not_handled_before_it() -> None:
    broker = Broker({0: records(8)})
    behind = [True]

    def fail(batches: list[PartitionBatch]) -> None:
        if any(len(batch) == 8 for batch in batches) and behind:
            raise ValueError("poison somewhere")

    def reached(batch: PartitionBatch) -> int:
        if behind and batch.next_offset == 4:
            behind.pop()
            return 0
        return batch.next_offset

    handler = NotingHandler(broker, fail, reached)
    run(broker, handler)
    assert handler.handled == everything(broker)
    assert "seek 0@0" in broker.events
    assert broker.committed == {0: 8}


def test_stopping_while_failing_commits_nothing_and_the_records_come_again() -> None:
    broker = Broker({0: records(3)})
    failed = 0

    def fail(batches: list[PartitionBatch]) -> None:
        nonlocal failed
        failed += 1
        if failed == 4:
            loop.stop()
        raise StoreUnavailable("away")

    handler = NotingHandler(broker, fail)
    loop = PartitionLoop(broker.open, handler, NotingOutputs(broker), RETRY, broker.stopping, NEVER)
    loop.run()
    assert broker.committed == {}
    assert handler.rejected == []
    assert (broker.closed, handler.closed) == (1, 1)

    broker.stopping = ImpatientEvent()
    second = NotingHandler(broker)
    run(broker, second)
    assert second.handled == everything(broker)


def test_stopping_during_isolation_commits_nothing_that_was_not_handled() -> None:
    broker = Broker({0: records(4)})

    def fail(batches: list[PartitionBatch]) -> None:
        if sum(map(len, batches)) == 4:
            raise ValueError("poison")
        if any(batch.start_offset == 2 for batch in batches):
            loop.stop()
            raise StoreUnavailable("away")

    handler = NotingHandler(broker, fail)
    loop = PartitionLoop(broker.open, handler, NotingOutputs(broker), RETRY, broker.stopping, NEVER)
    loop.run()
    assert broker.committed.get(0, 0) <= 2
    assert handler.rejected == []


def test_a_source_that_cannot_be_opened_is_tried_again() -> None:
    broker = Broker({0: records(2)}, open_errors=[BrokerUnavailable("away")] * 4)
    handler = NotingHandler(broker)
    run(broker, handler)
    assert len(broker.stopping.waits) == 4
    assert broker.stopping.waits[3] > broker.stopping.waits[0]
    assert handler.handled == everything(broker)


def test_stopping_while_the_broker_is_away_ends_the_loop() -> None:
    broker = Broker({0: records(2)}, open_errors=[BrokerUnavailable("away")] * 3)
    handler = NotingHandler(broker)

    def open_then_stop() -> BrokerSource:
        if len(broker.open_errors) == 1:
            loop.stop()
        return broker.open()

    loop = PartitionLoop(open_then_stop, handler, NotingOutputs(broker), RETRY, broker.stopping, NEVER)
    loop.run()
    assert broker.opened == 0
    assert handler.closed == 1


def test_a_failed_poll_reopens_the_source_at_what_is_committed() -> None:
    broker = Broker({0: records(4)}, records_per_poll=2)
    handler = NotingHandler(broker)

    def fail_the_next_poll(batches: list[PartitionBatch]) -> None:
        if batches[0].start_offset == 0:
            broker.poll_errors.append(BrokerUnavailable("away"))

    handler = NotingHandler(broker, fail_the_next_poll)
    run(broker, handler)
    assert (broker.opened, broker.closed) == (2, 2)
    assert handler.handled == everything(broker)


def test_a_commit_that_fails_brings_the_records_again() -> None:
    broker = Broker({0: records(4)}, records_per_poll=2, commit_errors=[BrokerUnavailable("away")])
    handler = NotingHandler(broker)
    run(broker, handler)
    assert handler.handled == [(0, 0), (0, 1), (0, 0), (0, 1), (0, 2), (0, 3)]
    assert broker.committed == {0: 4}
    assert broker.opened == broker.closed == 2


def test_an_error_that_does_not_pass_ends_the_loop_with_the_source_closed() -> None:
    broker = Broker({0: records(1)}, poll_errors=[Refused("not authorised")])
    with pytest.raises(Refused):
        run(broker, NotingHandler(broker))
    assert broker.opened == broker.closed == 1
    assert broker.committed == {}


def test_an_open_that_is_refused_ends_the_loop() -> None:
    broker = Broker({0: records(1)}, open_errors=[Refused("no such topic")])
    with pytest.raises(Refused):
        run(broker, NotingHandler(broker))


def test_a_failure_of_unknown_reason_is_tried_three_times_more_after_1_2_and_4_seconds() -> None:
    broker = Broker({0: records(1)})
    handler = NotingHandler(broker, failing_on(b"p0r0", error=ValueError("defect")))
    run(broker, handler)
    assert broker.stopping.waits == pytest.approx([1, 2, 4], rel=RETRY.jitter)
    [(_, _, _, rejection, attempts)] = handler.rejected
    assert attempts == 4
    assert rejection.exception == "ValueError"


def test_a_permanent_failure_is_not_tried_again() -> None:
    broker = Broker({0: records(1)})
    handler = NotingHandler(broker, failing_on(b"p0r0", error=Refused("too large")))
    run(broker, handler)
    assert broker.stopping.waits == []
    [(_, _, _, rejection, attempts)] = handler.rejected
    assert (attempts, rejection.exception, rejection.message) == (1, "Refused", "Refused: too large")


def test_an_outage_may_be_given_up_if_that_was_chosen() -> None:
    broker = Broker({0: records(2), 1: records(1, 1)})
    handler = NotingHandler(broker, failing_first(4, StoreUnavailable("away")))
    run(broker, handler, retry=RetrySettings(outages="dead_letter"))
    assert [(p, o, r.reason, r.exception, n) for p, o, _, r, n in handler.rejected] == [
        (0, 0, "outage", "StoreUnavailable", 4),
        (0, 1, "outage", "StoreUnavailable", 4),
        (1, 0, "outage", "StoreUnavailable", 4),
    ]
    assert broker.committed == {0: 2, 1: 1}


def test_state_moves_on_when_effects_are_out_although_the_commit_fails() -> None:
    broker = Broker({0: records(2)}, commit_errors=[BrokerUnavailable("away")])
    handler = NotingHandler(broker)
    settled: list[int] = []
    handler.settled = lambda partition, offset: settled.append(len(broker.commit_errors))  # type: ignore[method-assign]
    run(broker, handler)
    assert settled == [1, 0]


def test_with_transactions_the_offsets_are_committed_by_them_alone() -> None:
    broker = Broker({0: records(3), 1: records(1, 1)}, records_per_poll=2)
    handler = NotingHandler(broker)
    run(broker, handler, NotingOutputs(broker, transactional=True))
    assert broker.events == [
        "handle 0@2", "handle 1@1", "transaction 0@2", "transaction 1@1", "handle 0@3", "transaction 0@3",
    ]  # fmt: skip
    assert handler.settled_to == {0: 3, 1: 1}


def test_a_transaction_that_fails_is_tried_again_without_the_partitions_that_succeeded() -> None:
    broker = Broker({0: records(2), 1: records(2, 1), 2: records(2, 2)})
    outputs = NotingOutputs(broker, transactional=True, errors={1: [BrokerUnavailable("away")]})
    handler = NotingHandler(broker)
    run(broker, handler, outputs)
    assert handler.handled.count((0, 0)) == handler.handled.count((2, 0)) == 1
    assert handler.handled.count((1, 0)) == 2
    assert outputs.discarded == 1
    assert broker.committed == {0: 2, 1: 2, 2: 2}


def test_with_transactions_what_was_committed_before_a_poison_record_is_not_done_again() -> None:
    broker = Broker({0: records(8)})
    handler = NotingHandler(broker, failing_on(b"p0r5", error=Refused("poison")))
    run(broker, handler, NotingOutputs(broker, transactional=True))
    assert sorted(handler.handled) == [(0, o) for o in range(8) if o != 5]
    assert [offset for _, offset, _, _, _ in handler.rejected] == [5]
    assert [event for event in broker.events if event.startswith("transaction")] == [
        "transaction 0@4", "transaction 0@5", "transaction 0@6", "transaction 0@8",
    ]  # fmt: skip


def test_a_partition_that_was_taken_ends_the_loop_and_settles_nothing() -> None:
    broker = Broker({0: records(2)})
    outputs = NotingOutputs(broker, transactional=True, errors={0: [PartitionTaken("by another")]})
    handler = NotingHandler(broker)
    with pytest.raises(PartitionTaken, match="by another"):
        run(broker, handler, outputs)
    assert handler.settled_to == {}
    assert handler.rejected == []
    assert broker.committed == {}
    assert (broker.opened, broker.closed, outputs.closed) == (1, 1, 1)


def test_partitions_are_claimed_before_each_opening() -> None:
    broker = Broker({0: records(1)}, poll_errors=[BrokerUnavailable("away")])
    outputs = NotingOutputs(broker)
    run(broker, NotingHandler(broker), outputs)
    assert outputs.claimed == broker.opened == 2


def test_while_handling_takes_long_the_source_is_paused_and_polled() -> None:
    broker = Broker({0: records(5)}, records_per_poll=2)
    waiting = threading.Event()
    healths = []

    def slow(batches: list[PartitionBatch]) -> None:
        assert waiting.wait(10), "the source is polled meanwhile"
        waiting.clear()

    class PausedSource(BrokerSource):
        paused = False

        def pause(self) -> None:
            self.paused = True
            super().pause()

        def resume(self) -> None:
            self.paused = False
            super().resume()

        def poll(self, timeout_ms: int) -> list[PartitionBatch]:
            if not self.paused:
                return super().poll(timeout_ms)
            healths.append(loop.health())
            waiting.set()
            return []

    handler = NotingHandler(broker, before=slow)
    loop = PartitionLoop(
        lambda: PausedSource(broker), handler, NotingOutputs(broker), RETRY, broker.stopping, pause_after_s=0
    )
    loop.run()
    assert handler.handled == everything(broker)
    assert broker.events == [
        event
        for following in (2, 4, 5)
        for event in ("pause", f"handle 0@{following}", "resume", f"commit 0@{following}")
    ]
    assert all(health.paused_since_s > 0 for health in healths)
    health = loop.health()
    assert (health.pauses, health.paused_since_s, health.oldest_s) == (3, 0.0, 0.0)


def test_what_a_paused_source_returns_all_the_same_is_read_again() -> None:
    broker = Broker({0: records(4)}, records_per_poll=2)
    begun, leaked = threading.Event(), threading.Event()

    class Leaking(BrokerSource):
        paused = leaking = False

        def pause(self) -> None:
            super().pause()
            self.paused = self.leaking = True

        def resume(self) -> None:
            super().resume()
            self.paused = False

        def poll(self, timeout_ms: int) -> list[PartitionBatch]:
            if not self.paused:
                return super().poll(timeout_ms)
            if not self.leaking:
                return []
            assert begun.wait(10)
            self.leaking = False
            return super().poll(timeout_ms)

        def seek(self, partition: int, offset: int) -> None:
            super().seek(partition, offset)
            leaked.set()

    def wait(batches: list[PartitionBatch]) -> None:
        begun.set()
        assert leaked.wait(10)

    handler = NotingHandler(broker, before=wait)
    run(broker, handler, source=Leaking, pause_after_s=0)
    assert handler.handled == everything(broker)
    assert "seek 0@2" in broker.events


def test_a_broker_that_goes_away_while_handling_does_not_disturb_it() -> None:
    broker = Broker({0: records(2)})
    polled = threading.Event()

    class Failing(BrokerSource):
        paused = False

        def pause(self) -> None:
            super().pause()
            self.paused = True

        def resume(self) -> None:
            super().resume()
            self.paused = False

        def poll(self, timeout_ms: int) -> list[PartitionBatch]:
            if not self.paused:
                return super().poll(timeout_ms)
            polled.set()
            raise BrokerUnavailable("away")

    def wait(batches: list[PartitionBatch]) -> None:
        assert polled.wait(10)

    handler = NotingHandler(broker, before=wait)
    run(broker, handler, source=Failing, pause_after_s=0)
    assert handler.handled == everything(broker)
    assert broker.closed == 1
