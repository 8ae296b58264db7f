"""Handling that fails is tried again: for as long as it takes, a few times, or not at all."""

from __future__ import annotations

import pytest

from tests.unit.streaming.broker import (
    NEVER,
    RETRY,
    Broker,
    ImpatientEvent,
    NotingHandler,
    NotingOutputs,
    Refused,
    everything,
    failing_first,
    failing_on,
    records,
    run,
)
from vnpulse.batches import PartitionBatch
from vnpulse.errors import StoreUnavailable
from vnpulse.streaming.loop import PartitionLoop
from vnpulse.streaming.retries import RetrySettings


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


def test_a_failure_that_may_pass_is_not_taken_for_a_poison_record_at_once() -> None:
    broker = Broker({0: records(8)})
    handler = NotingHandler(broker, failing_first(2, RuntimeError("hiccup")))
    run(broker, handler)
    assert handler.rejected == []
    assert len(handler.calls) == 3
    assert handler.handled == everything(broker)


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
