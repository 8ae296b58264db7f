"""The loop's promise: handle, then commit; nothing is skipped, whatever the broker does meanwhile."""

from __future__ import annotations

import pytest

from tests.unit.streaming.broker import (
    NEVER,
    RETRY,
    Broker,
    BrokerSource,
    NotingHandler,
    NotingOutputs,
    Refused,
    everything,
    records,
    run,
)
from vnpulse.batches import PartitionBatch
from vnpulse.errors import BrokerUnavailable
from vnpulse.streaming.loop import PartitionLoop


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


def test_a_source_that_cannot_be_opened_is_tried_again() -> None:
    broker = Broker({0: records(2)}, open_errors=[BrokerUnavailable("away")] * 4)
    handler = NotingHandler(broker)
    run(broker, handler)
    assert len(broker.stopping.waits) == 4
    assert broker.stopping.waits[3] > broker.stopping.waits[0]
    assert handler.handled == everything(broker)


def test_waits_grow_while_every_round_fails_although_the_source_opens() -> None:
    broker = Broker({0: records(1)}, poll_errors=[BrokerUnavailable("away")] * 20)
    run(broker, NotingHandler(broker))
    assert broker.committed == {0: 1}
    assert max(broker.stopping.waits) > RETRY.cap_s / 4


def test_a_loop_that_has_its_broker_back_is_not_failing_although_no_record_comes() -> None:
    broker = Broker({0: []}, open_errors=[BrokerUnavailable("away")])
    loop = run(broker, NotingHandler(broker))
    assert broker.polls > 0
    assert loop.health().failing_since_s == 0


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


def test_partitions_are_claimed_before_each_opening() -> None:
    broker = Broker({0: records(1)}, poll_errors=[BrokerUnavailable("away")])
    outputs = NotingOutputs(broker)
    run(broker, NotingHandler(broker), outputs)
    assert outputs.claimed == broker.opened == 2


def test_a_commit_that_fails_brings_the_records_again() -> None:
    broker = Broker({0: records(4)}, records_per_poll=2, commit_errors=[BrokerUnavailable("away")])
    handler = NotingHandler(broker)
    run(broker, handler)
    assert handler.handled == [(0, 0), (0, 1), (0, 0), (0, 1), (0, 2), (0, 3)]
    assert broker.committed == {0: 4}
    assert broker.opened == broker.closed == 2


def test_state_moves_on_when_effects_are_out_although_the_commit_fails() -> None:
    broker = Broker({0: records(2)}, commit_errors=[BrokerUnavailable("away")])
    handler = NotingHandler(broker)
    settled: list[int] = []
    handler.settled = lambda partition, offset: settled.append(len(broker.commit_errors))  # type: ignore[method-assign]
    run(broker, handler)
    assert settled == [1, 0]


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
