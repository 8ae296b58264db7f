"""While handling takes long, the source is paused, and polled all the same."""

from __future__ import annotations

import threading

from tests.unit.streaming.broker import (
    RETRY,
    Broker,
    BrokerSource,
    NotingHandler,
    NotingOutputs,
    everything,
    records,
    run,
)
from vnpulse.batches import PartitionBatch
from vnpulse.errors import BrokerUnavailable
from vnpulse.streaming.loop import PartitionLoop


def test_while_handling_takes_long_the_source_is_paused_and_polled() -> None:
    broker = Broker({0: records(5)}, records_per_poll=2)
    waiting = threading.Event()
    healths = []

    def slow(batches: list[PartitionBatch]) -> None:
        assert waiting.wait(10), "the source is polled meanwhile"
        waiting.clear()

    class PausedSource(BrokerSource):
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
        leaking = False

        def pause(self) -> None:
            super().pause()
            self.leaking = True

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
