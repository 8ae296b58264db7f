"""One results partition, the store, the broker and a process that reads, fails, dies and starts again."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.unit.streaming.broker import NEVER, ImpatientEvent
from vnpulse.aggregation.aggregator import Aggregator
from vnpulse.aggregation.order import Frontier, Passage
from vnpulse.aggregation.rules import Recommendation, Rule, RuleBook
from vnpulse.batches import PartitionBatch
from vnpulse.clock import ManualClock
from vnpulse.errors import BrokerUnavailable, StoreUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.progress import Committed, SoleProgress
from vnpulse.market import load_market
from vnpulse.messages import VIETNAM, Alert, AnalysisResult, AnalysisType, ResultBody, ResultMetadata, encode
from vnpulse.store.alerts import Snapshot
from vnpulse.streaming.aggregation import ResultHandler
from vnpulse.streaming.loop import PartitionLoop

RESULTS, ALERTS = "analysis_results", "alerts"
OPENING = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)


def result(i: int, symbol: str = "FPT", score: float = 0.9, **details: Any) -> bytes:
    details = {"close": 25.0, "daily": {"close": 25.0, "atr_14": 0.5}} | details
    at = OPENING + dt.timedelta(minutes=i)
    body = ResultBody(score, 0.9, details)
    return encode(AnalysisResult(f"{symbol}-{i}", symbol, "technical", at, body, ResultMetadata("v1", 0.1)))


def swinging(n: int) -> list[bytes | None]:
    """Results of two symbols that buy and sell by turns: with no cooldown, an alert every few results."""
    return [result(i, "FPT" if i % 3 else "HPG", 0.9 if i // 6 % 2 else -0.9) for i in range(n)]


def aggregator() -> Aggregator:
    both: Any = {"input": "final_score", "rearm": 0.0, "for_results": 2, "priority": {"medium": 0.0}}
    rules = (
        Rule(name="buy", alert_type="buy_signal", fire_above=0.5, **both),
        Rule(name="sell", alert_type="sell_signal", fire_below=-0.5, **both),
        Rule(
            name="fall",
            alert_type="risk_alert",
            input="day_change_pct",
            fire_below=-4.0,
            rearm=-2.5,
            priority={"high": 0.0},
        ),
    )
    book = RuleBook(
        version="1",
        weights={"technical": 0.65, "sentiment": 0.35},
        sentiment_half_life_minutes=720.0,
        recommendation=Recommendation(buy_above=0.2, sell_below=-0.2),
        target_atr=1.5,
        rules=rules,
    )
    return Aggregator(book, load_market(), {"FPT": "HOSE"})


class Failures:
    """Raises at the n-th effect of a kind for each (kind, n) that was asked for."""

    def __init__(self, wanted: Mapping[str, set[int]] | None = None) -> None:
        self._wanted = wanted or {}
        self._count: dict[str, int] = {}

    def at(self, kind: str, error: Exception) -> None:
        n = self._count[kind] = self._count.get(kind, -1) + 1
        if n in self._wanted.get(kind, ()):
            raise error


@dataclass
class MemoryAlertStore:
    """An AlertStore of dictionaries; what it holds survives the handlers."""

    failures: Failures = field(default_factory=Failures)
    alerts: dict[str, Alert] = field(default_factory=dict)
    states: dict[tuple[str, int], dict[str, tuple[int, bytes]]] = field(default_factory=dict)
    complete_to: dict[tuple[str, int], int] = field(default_factory=dict)
    read_to: dict[tuple[str, int], int] = field(default_factory=dict)
    loads: int = 0

    def write(self, alerts: list[Alert]) -> None:
        if alerts:
            self.failures.at("write", StoreUnavailable("away"))
        self.alerts |= {alert.alert_id: alert for alert in alerts}

    def load_snapshot(self, topic: str, partition: int) -> Snapshot:
        self.loads += 1
        self.failures.at("load", StoreUnavailable("away"))
        home = topic, partition
        return Snapshot(
            self.complete_to.get(home, 0), self.read_to.get(home, 0), dict(self.states.get(home, {}))
        )

    def save_snapshot(self, topic: str, partition: int, snapshot: Snapshot) -> None:
        self.states.setdefault((topic, partition), {}).update(snapshot.states)
        # Between the two writes: single symbols are ahead of the partition's offsets.
        self.failures.at("save", StoreUnavailable("away"))
        self.complete_to[topic, partition] = snapshot.next_offset
        self.read_to[topic, partition] = snapshot.read_to


class TopicOutputs:
    """What was published is on the topics. Plain outputs cannot take back what was sent."""

    def __init__(self, failures: Failures, transactional: bool, world: World) -> None:
        self._failures = failures
        self._world = world
        self.transactional = transactional
        self._queued: list[tuple[str, Any, Any, list[tuple[str, bytes]]]] = []
        self.sent: list[tuple[str, Any, Any]] = []
        self.reasons: list[str] = []

    def claim(self) -> None:
        pass

    def send(self, cause: int, topic: str, key: Any, value: Any, headers: Any = ()) -> None:
        assert cause == 2
        self._queued.append((topic, key, value, list(headers)))

    def publish(self, offsets: Mapping[int, int]) -> Iterator[int]:
        self._failures.at("flush", BrokerUnavailable("away"))
        if self.transactional and not self._queued:
            moving = {p: o for p, o in offsets.items() if self._world.progress.moves(p, o)}
            yield from offsets.keys() - moving.keys()
            offsets = moving
        if self.transactional and offsets:
            self._world.commit(offsets)
        if not self.transactional or offsets:
            self._move()
        self._queued.clear()
        yield from offsets

    def _move(self) -> None:
        for topic, key, value, headers in self._queued:
            self.sent.append((topic, key, value))
            self.reasons += [text.decode() for name, text in headers if name == "reason"]

    def discard(self) -> None:
        if self.transactional:
            self._queued.clear()

    def close(self) -> None:
        if not self.transactional:
            self._move()
        self._queued.clear()

    def alerts(self) -> list[Alert]:
        return [msgspec.json.decode(value, type=Alert) for topic, _, value in self.sent if topic == ALERTS]

    def dead(self) -> list[Any]:
        return [value for topic, _, value in self.sent if topic == f"{RESULTS}_dlq"]


class Crash(BaseException):
    """The process dies here."""


class Through(Passage):
    """All that is in the raw topics has always come through."""

    missing = ""

    def begin(self, kinds: Collection[AnalysisType]) -> None:
        pass

    def done(self, positions: Mapping[int, int]) -> bool:
        return True


class World:
    """What survives a process; ``live`` is one process's life."""

    wait_ms = 30_000

    def __init__(
        self,
        values: list[bytes | None],
        failures: Mapping[str, set[int]] | None = None,
        per_poll: int = 4,
        transactional: bool = False,
    ) -> None:
        self.values = values
        self.per_poll = per_poll
        self.failures = Failures(failures)
        self.store = MemoryAlertStore(self.failures)
        self.outputs = TopicOutputs(self.failures, transactional, self)
        self.clock = ManualClock(1_753_668_000_000)
        self.committed: dict[int, int] = {}
        self.notes: dict[int, str] = {}
        self.progress = SoleProgress()
        self.polls = 0
        self.crash_after_commits = -1

    def aggregator(self) -> Aggregator:
        return aggregator()

    def passage(self) -> Passage:
        return Through()

    def handler(self) -> ResultHandler:
        return ResultHandler(
            self.aggregator(),
            Frontier(self.passage(), self.wait_ms, self.clock),
            self.store,  # type: ignore[arg-type]
            self.outputs,
            self.progress,
            DeadLetters(self.outputs, "test"),
            ALERTS,
            self.clock,
        )

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self.crash_after_commits == 0:
            raise Crash
        self.crash_after_commits -= 1
        for partition, offset in offsets.items():
            with self.progress.moving(partition, offset) as committed:
                self.committed[partition], self.notes[partition] = committed

    def end(self) -> bool:
        """Let the world go on, when there was nothing to read; True if nothing more will come."""
        return True

    def live(self, crash_after_commits: int = -1, *, may_survive: bool = False) -> None:
        """Run until all is read, or until the process dies after so many commits."""
        self.crash_after_commits = crash_after_commits
        self.progress = SoleProgress()
        stopping = ImpatientEvent()
        loop = PartitionLoop(
            lambda: WorldSource(self, stopping),
            self.handler(),
            self.outputs,
            stopping=stopping,
            pause_after_s=NEVER,
        )
        if crash_after_commits < 0:
            loop.run()
        else:
            with suppress(Crash) if may_survive else pytest.raises(Crash):
                loop.run()


class WorldSource:
    topic = RESULTS

    def __init__(self, world: World, stopping: threading.Event) -> None:
        self._world, self._stopping = world, stopping
        committed = Committed(world.committed.get(2, 0), world.notes.get(2, ""))
        self._next = world.progress.resumed(2, committed)

    @property
    def positions(self) -> dict[int, int]:
        return {2: self._next}

    def poll(self, timeout_ms: int) -> list[PartitionBatch]:
        world, first = self._world, self._next
        world.polls += 1
        world.failures.at("poll", BrokerUnavailable("away"))
        if world.polls > 3_000:
            raise AssertionError("the loop reads the same records without end")
        values = world.values[first : first + world.per_poll]
        if not values:
            if world.end():
                self._stopping.set()
            return []
        self._next = following = first + len(values)
        offsets = np.arange(first, following, dtype=np.int64)
        return [
            PartitionBatch(RESULTS, 2, first, following, values, [b"k"] * len(values), offsets, offsets + 9)
        ]

    def seek(self, partition: int, offset: int) -> None:
        self._next = offset

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._world.commit(offsets)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        pass
