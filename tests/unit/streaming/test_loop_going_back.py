"""A handler that lacks records makes the loop go back to them; what was committed stays so."""

from __future__ import annotations

from tests.unit.streaming.broker import Broker, NotingHandler, everything, records, run
from vnpulse.batches import PartitionBatch


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
