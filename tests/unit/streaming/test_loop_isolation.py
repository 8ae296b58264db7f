"""A bad record goes to the dead letters, and costs no good one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.unit.streaming.broker import (
    NEVER,
    RETRY,
    Broker,
    NotingHandler,
    NotingOutputs,
    Refused,
    everything,
    failing_on,
    records,
    run,
)
from vnpulse.batches import PartitionBatch
from vnpulse.errors import BrokerUnavailable, StoreUnavailable
from vnpulse.streaming.loop import PartitionLoop


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
