"""Alerts are made once each, whatever fails in between and however often the process starts anew."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.aggregation.aggregator import Aggregator
from vnpulse.aggregation.rules import Recommendation, Rule, RuleBook
from vnpulse.batches import PartitionBatch
from vnpulse.clock import ManualClock
from vnpulse.errors import BrokerUnavailable, StoreUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.market import load_market
from vnpulse.messages import VIETNAM, Alert, AnalysisResult, ResultBody, ResultMetadata, encode
from vnpulse.streaming.aggregation import SNAPSHOT_PERIOD_MS, ResultHandler
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
    loads: int = 0

    def write(self, alerts: list[Alert]) -> None:
        if alerts:
            self.failures.at("write", StoreUnavailable("away"))
        self.alerts |= {alert.alert_id: alert for alert in alerts}

    def load_snapshot(self, topic: str, partition: int) -> tuple[int, dict[str, tuple[int, bytes]]]:
        self.loads += 1
        self.failures.at("load", StoreUnavailable("away"))
        return self.complete_to.get((topic, partition), 0), dict(self.states.get((topic, partition), {}))

    def save_snapshot(
        self, topic: str, partition: int, next_offset: int, states: Mapping[str, tuple[int, bytes]]
    ) -> None:
        self.states.setdefault((topic, partition), {}).update(states)
        # Between the two writes: single symbols are ahead of the partition's offset.
        self.failures.at("save", StoreUnavailable("away"))
        self.complete_to[topic, partition] = next_offset


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


class Impatient(threading.Event):
    def __init__(self) -> None:
        super().__init__()
        self._waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self._waits += 1
        if self._waits > 300:
            raise AssertionError("the loop goes on failing")
        return self.is_set()


class Crash(BaseException):
    """The process dies here."""


class World:
    """One results partition, the store and the producer; ``live`` is one process's life."""

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
        self.polls = 0
        self.crash_after_commits = -1

    def handler(self) -> ResultHandler:
        return ResultHandler(
            aggregator(), self.store, self.outputs, DeadLetters(self.outputs, "test"), ALERTS, self.clock
        )  # type: ignore[arg-type]

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self.crash_after_commits == 0:
            raise Crash
        self.crash_after_commits -= 1
        self.committed |= offsets

    def live(self, crash_after_commits: int = -1) -> None:
        """Run until all is read, or until the process dies after so many commits."""
        self.crash_after_commits = crash_after_commits
        stopping = Impatient()
        loop = PartitionLoop(
            lambda: WorldSource(self, stopping), self.handler(), self.outputs, stopping=stopping
        )
        if crash_after_commits < 0:
            loop.run()
        else:
            with pytest.raises(Crash):
                loop.run()


class WorldSource:
    topic = RESULTS

    def __init__(self, world: World, stopping: threading.Event) -> None:
        self._world, self._stopping = world, stopping
        self._next = world.committed.get(2, 0)

    @property
    def positions(self) -> dict[int, int]:
        return {2: self._next}

    def poll(self, timeout_ms: int) -> list[PartitionBatch]:
        world, first = self._world, self._next
        world.polls += 1
        if world.polls > 3_000:
            raise AssertionError("the loop reads the same records without end")
        values = world.values[first : first + world.per_poll]
        if not values:
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


def undisturbed(values: list[bytes | None]) -> list[Alert]:
    world = World(values)
    world.live()
    return world.outputs.alerts()


def test_the_swinging_log_gives_many_alerts_once_each() -> None:
    alerts = undisturbed(swinging(60))
    assert len(alerts) > 10
    assert len({alert.alert_id for alert in alerts}) == len(alerts)


def test_alerts_are_on_the_topic_keyed_by_symbol_and_in_the_store() -> None:
    world = World(swinging(30))
    world.live()
    assert [key for topic, key, _ in world.outputs.sent if topic == ALERTS] == [
        alert.symbol for alert in world.outputs.alerts()
    ]
    assert world.store.alerts == {alert.alert_id: alert for alert in world.outputs.alerts()}
    assert world.committed == {2: 30}


@pytest.mark.parametrize("per_poll", [1, 3, 7, 100])
def test_alerts_do_not_depend_on_how_the_log_is_cut_into_polls(per_poll: int) -> None:
    world = World(swinging(60), per_poll=per_poll)
    world.live()
    assert world.outputs.alerts() == undisturbed(swinging(60))


def test_a_store_that_fails_leaves_the_state_as_it_was_and_doubles_no_alert() -> None:
    world = World(swinging(60), {"write": {3, 4, 9}})
    world.live()
    alerts = {alert.alert_id: alert for alert in world.outputs.alerts()}
    assert list(alerts.values()) == undisturbed(swinging(60))
    assert world.store.alerts == alerts
    assert world.store.loads == 1
    assert world.committed == {2: 60}


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {kind: st.sets(st.integers(0, 25), max_size=5) for kind in ("write", "load", "save", "flush")}
    ),
    st.lists(st.integers(0, 8), max_size=3),
    st.integers(1, 9),
)
def test_whatever_fails_and_whenever_the_process_dies_the_same_alerts_come_out(
    failures: dict[str, set[int]], lives: list[int], per_poll: int
) -> None:
    world = World(swinging(40), failures, per_poll)
    for commits in lives:
        if world.committed.get(2, 0) < 40 - (commits + 1) * per_poll:
            world.live(crash_after_commits=commits)
        world.clock.advance(SNAPSHOT_PERIOD_MS // 2)
    with suppress(StoreUnavailable):  # when the state is written down a last time
        world.live()
    expected = undisturbed(swinging(40))
    assert {a.alert_id for a in world.outputs.alerts()} == {a.alert_id for a in expected}
    assert world.store.alerts == {alert.alert_id: alert for alert in expected}
    assert world.committed == {2: 40}


def test_a_restart_after_a_crash_repeats_no_alert_whose_results_were_committed() -> None:
    world = World(swinging(60))
    world.live(crash_after_commits=8)
    committed = world.committed[2]
    assert world.store.complete_to[RESULTS, 2] < committed
    before = len(world.outputs.alerts())
    world.live()
    alerts = world.outputs.alerts()
    assert before > 0
    # The results of the round that died before its commit come again, and so do their alerts.
    repeated = {a.alert_id for a in alerts[:before]} & {a.alert_id for a in alerts[before:]}
    again = {f"{'FPT' if i % 3 else 'HPG'}-{i}" for i in range(committed, committed + 4)}
    causes = {a.alert_id: a.data.explanation["components"]["technical"]["result_id"] for a in alerts}
    assert {causes[alert_id] for alert_id in repeated} <= again
    assert {a.alert_id for a in alerts} == {a.alert_id for a in undisturbed(swinging(60))}


def test_a_failure_while_catching_up_repeats_no_alert_whose_results_were_committed() -> None:
    world = World(swinging(60))
    world.live(crash_after_commits=8)
    committed, before = world.committed[2], len(world.outputs.alerts())
    # Old and new results come in one poll, and the store fails once while their alerts are written.
    world.per_poll = 100
    world.failures = world.store.failures = Failures({"write": {0}})
    world.live()
    later = world.outputs.alerts()[before:]
    causes = [a.data.explanation["components"]["technical"]["result_id"] for a in later]
    assert min(int(cause.split("-")[1]) for cause in causes) >= committed


def test_a_clean_stop_writes_the_state_down_so_that_nothing_is_read_again() -> None:
    world = World(swinging(30))
    world.live()
    assert world.store.complete_to == {(RESULTS, 2): 30}
    polls = world.polls
    world.values = swinging(34)
    world.live()
    assert world.polls - polls == 2
    assert world.outputs.alerts() == undisturbed(swinging(34))


def test_unreadable_results_are_dead_lettered_once_although_the_log_is_read_again() -> None:
    values = swinging(30)
    values[5], values[6] = b"nonsense", None
    world = World(values, {"write": {1}})
    world.live(crash_after_commits=3)
    world.live()
    assert world.outputs.dead() == [b"nonsense", None]
    assert sorted(world.outputs.reasons) == ["not-json", "null-value"]


@pytest.mark.parametrize("at", [0, 13, 29])
def test_a_result_that_the_aggregator_cannot_stomach_is_isolated_and_the_rest_goes_through(at: int) -> None:
    values = swinging(30)
    values[at] = poison = result(at, "VCB", close="25.0")
    world = World(values, per_poll=10)
    world.live()
    assert world.outputs.dead() == [poison]
    assert world.outputs.reasons == ["processing-error"]
    expected = undisturbed([value for value in values if value != poison])
    assert {a.alert_id for a in world.outputs.alerts()} == {a.alert_id for a in expected}
    assert world.committed == {2: 30}


def test_a_result_that_was_dead_lettered_before_a_crash_is_not_dead_lettered_again() -> None:
    values = swinging(40)
    values[6] = poison = result(6, "VCB", close="25.0")
    world = World(values)
    world.live(crash_after_commits=6)
    assert world.outputs.dead() == [poison]
    committed, before = world.committed[2], len(world.outputs.alerts())
    world.live()
    assert world.outputs.dead() == [poison]
    assert {a.alert_id for a in world.outputs.alerts()} == {
        a.alert_id for a in undisturbed([v for v in values if v != poison])
    }
    later = world.outputs.alerts()[before:]
    causes = [a.data.explanation["components"]["technical"]["result_id"] for a in later]
    assert min(int(cause.split("-")[1]) for cause in causes) >= committed


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {kind: st.sets(st.integers(0, 25), max_size=5) for kind in ("write", "load", "flush")}
    ),
    st.lists(st.integers(0, 8), max_size=3),
    st.integers(1, 9),
)
def test_in_transactions_every_alert_and_dead_letter_is_there_once_whatever_fails(
    failures: dict[str, set[int]], lives: list[int], per_poll: int
) -> None:
    values = swinging(40)
    values[11] = b"nonsense"
    world = World(values, failures, per_poll, transactional=True)
    for commits in lives:
        if world.committed.get(2, 0) < 40 - (commits + 1) * per_poll:
            world.live(crash_after_commits=commits)
        world.clock.advance(SNAPSHOT_PERIOD_MS // 2)
    world.live()
    expected = undisturbed(values)
    assert world.outputs.alerts() == expected
    assert world.outputs.dead() == [b"nonsense"]
    assert world.store.alerts == {alert.alert_id: alert for alert in expected}
    assert world.committed == {2: 40}


def test_alerts_are_in_the_store_before_they_are_published_and_the_state_moves_on_after(
    outputs: Any, journal: Any, records: Any
) -> None:
    class NotingStore(MemoryAlertStore):
        def write(self, alerts: list[Alert]) -> None:
            journal.note("store")

        def save_snapshot(self, *_: Any) -> None:
            journal.note("state")

    over = ResultHandler(
        aggregator(), NotingStore(), outputs, DeadLetters(outputs, "test"), ALERTS, ManualClock(0)
    )  # type: ignore[arg-type]
    assert over.handle([records([result(0), result(1), result(2)], RESULTS)]) == {0: 3}
    over.close()
    assert journal.events == [f"send {ALERTS}", "store"]
    over.settled(0, 3)
    over.close()
    assert journal.events == [f"send {ALERTS}", "store", "state"]


def test_the_state_is_written_every_few_seconds_not_with_every_poll(outputs: Any, records: Any) -> None:
    store, clock = MemoryAlertStore(), ManualClock(1_000_000)
    over = ResultHandler(aggregator(), store, outputs, DeadLetters(outputs, "test"), ALERTS, clock)  # type: ignore[arg-type]

    def handle(i: int) -> None:
        over.handle([records([result(i)], RESULTS, start=i)])
        over.settled(0, i + 1)

    for i in range(3):
        handle(i)
    assert store.complete_to == {(RESULTS, 0): 1}, "what was settled before the second"
    clock.advance(SNAPSHOT_PERIOD_MS)
    handle(3)
    handle(4)
    assert store.complete_to == {(RESULTS, 0): 3}
    over.close()
    assert store.complete_to == {(RESULTS, 0): 5}
