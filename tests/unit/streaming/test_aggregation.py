"""Alerts are made once each, whatever fails in between and however often the process starts anew."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streaming.world import (
    ALERTS,
    RESULTS,
    Failures,
    MemoryAlertStore,
    Through,
    World,
    aggregator,
    result,
    swinging,
)
from vnpulse.aggregation.order import Frontier
from vnpulse.clock import ManualClock
from vnpulse.errors import StoreUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.progress import SoleProgress
from vnpulse.messages import Alert
from vnpulse.streaming.aggregation import SNAPSHOT_PERIOD_MS, ResultHandler


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
        {kind: st.sets(st.integers(0, 25), max_size=5) for kind in ("poll", "write", "load", "save", "flush")}
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
        {kind: st.sets(st.integers(0, 25), max_size=5) for kind in ("poll", "write", "load", "flush")}
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


def handler(store: Any, outputs: Any, clock: ManualClock) -> ResultHandler:
    frontier = Frontier(Through(), 0, clock)
    dead_letters = DeadLetters(outputs, "test")
    return ResultHandler(aggregator(), frontier, store, outputs, SoleProgress(), dead_letters, ALERTS, clock)


def test_alerts_are_in_the_store_before_they_are_published_and_the_state_moves_on_after(
    outputs: Any, journal: Any, records: Any
) -> None:
    class NotingStore(MemoryAlertStore):
        def write(self, alerts: list[Alert]) -> None:
            journal.note("store")

        def save_snapshot(self, *_: Any) -> None:
            journal.note("state")

    over = handler(NotingStore(), outputs, ManualClock(0))
    assert over.handle([records([result(0), result(1), result(2)], RESULTS)]) == {0: 3}
    over.close()
    assert journal.events == ["store", f"send {ALERTS}"]
    over.settled(0, 3)
    over.close()
    assert journal.events == ["store", f"send {ALERTS}", "state"]


def test_the_state_is_written_every_few_seconds_not_with_every_poll(outputs: Any, records: Any) -> None:
    store, clock = MemoryAlertStore(), ManualClock(1_000_000)
    over = handler(store, outputs, clock)

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
