"""With transactions each partition's offset is committed together with what was sent, and alone."""

from __future__ import annotations

import pytest

from tests.unit.streaming.broker import (
    Broker,
    NotingHandler,
    NotingOutputs,
    Refused,
    failing_on,
    records,
    run,
)
from vnpulse.errors import BrokerUnavailable, PartitionTaken


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
