"""When scheduled triggers fire, and what becomes of those that were missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from tests.unit.collection.conftest import BrokerAtHand, MemoryStates, ms, run_until
from vnpulse.clock import ManualClock
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.schedule import Schedule, triggers_of
from vnpulse.collection.scheduler import Scheduler
from vnpulse.collection.settings import SchedulePoint, ScheduleSettings
from vnpulse.errors import BrokerUnavailable
from vnpulse.market import CalendarRules, HalfDay, load_market
from vnpulse.messages import AnalysisTrigger
from vnpulse.topics import TRIGGERS
from vnpulse.trading_calendar import TradingCalendar

FRIDAY, MONDAY = "2025-07-25", "2025-07-28"
POINTS = (
    SchedulePoint(name="open", anchor="open", minutes=16),
    SchedulePoint(name="noon", anchor="midday"),
    SchedulePoint(name="close", anchor="close", minutes=1),
)
GRACE_MS = 1_800_000


def times(schedule: Schedule, day: str) -> dict[str, int]:
    return {moment.name: moment.at_ms for moment in schedule.of_day(dt.date.fromisoformat(day))}


def test_points_lie_on_the_markets_hours(calendar: TradingCalendar) -> None:
    schedule = Schedule(ScheduleSettings(points=POINTS), calendar)
    assert times(schedule, MONDAY) == {
        "open": ms(f"{MONDAY}T09:16"),
        "noon": ms(f"{MONDAY}T11:30"),
        "close": ms(f"{MONDAY}T14:46"),
    }
    assert times(schedule, "2025-07-27") == {}
    after_close = schedule.next_after(ms(f"{FRIDAY}T14:46"))
    assert after_close is not None
    assert after_close.at_ms == ms(f"{MONDAY}T09:16"), "a weekend lies between"


def test_a_half_day_closes_early_and_has_no_midday() -> None:
    half = CalendarRules(half_days=(HalfDay(date=dt.date.fromisoformat(MONDAY), ends="11:00"),))
    calendar = TradingCalendar(load_market().model_copy(update={"calendar": half}))
    schedule = Schedule(ScheduleSettings(points=POINTS), calendar)
    assert times(schedule, MONDAY) == {"open": ms(f"{MONDAY}T09:16"), "close": ms(f"{MONDAY}T11:01")}


def test_ids_are_the_same_whoever_fires(calendar: TradingCalendar) -> None:
    schedule = Schedule(ScheduleSettings(points=POINTS), calendar)
    moments = schedule.due(ms(f"{FRIDAY}T00:00"), ms(f"{MONDAY}T23:00"))
    ids = [trigger.trigger_id for moment in moments for trigger in triggers_of(moment, ["FPT", "VCB"])]
    assert len(set(ids)) == 2 * 3 * 2
    assert ids == [t.trigger_id for moment in moments for t in triggers_of(moment, ["FPT", "VCB"])]


@pytest.fixture
def start(
    calendar: TradingCalendar, clock: ManualClock, states: MemoryStates, make_outbox: Callable[[], Outbox]
) -> Callable[[], Scheduler]:
    schedule = Schedule(ScheduleSettings(points=POINTS), calendar)
    return lambda: Scheduler(schedule, GRACE_MS, ["FPT"], make_outbox(), states, clock)  # type: ignore[arg-type]


def fired(broker: BrokerAtHand) -> list[str]:
    return [f"{t.timestamp:%d %H:%M}" for t in broker.messages(TRIGGERS, AnalysisTrigger)]


def run(scheduler: Scheduler, clock: ManualClock, until: str) -> None:
    for _ in run_until([scheduler], clock, ms(until)):
        pass


def test_the_first_start_begins_at_the_present(
    start: Callable[[], Scheduler], clock: ManualClock, broker: BrokerAtHand
) -> None:
    clock.advance(ms(f"{MONDAY}T09:20") - clock.now_ms())
    run(start(), clock, f"{MONDAY}T12:00")
    assert fired(broker) == ["28 11:30"]


def test_what_was_missed_within_the_grace_is_made_up_for_once(
    start: Callable[[], Scheduler], clock: ManualClock, broker: BrokerAtHand
) -> None:
    run(start(), clock, f"{MONDAY}T09:10")
    clock.advance(30 * 60_000)  # down from 09:10 to 09:40: 24 minutes after the point
    run(start(), clock, f"{MONDAY}T10:00")
    run(start(), clock, f"{MONDAY}T10:30")
    assert fired(broker) == ["28 09:16"]


def test_what_was_missed_by_more_is_dropped_and_counted(
    start: Callable[[], Scheduler], clock: ManualClock, broker: BrokerAtHand
) -> None:
    run(start(), clock, f"{MONDAY}T09:10")
    clock.advance(ms(f"{MONDAY}T11:50") - clock.now_ms())
    late = start()
    run(late, clock, f"{MONDAY}T15:00")
    assert fired(broker) == ["28 11:30", "28 14:46"]
    assert late.status()["counts"] == {"misfired": 1, "fired": 2, "triggers": 2}


def test_a_broker_that_was_away_gets_each_trigger_and_the_schedule_does_not_run_ahead(
    start: Callable[[], Scheduler], clock: ManualClock, broker: BrokerAtHand, states: MemoryStates
) -> None:
    scheduler = start()
    run(scheduler, clock, f"{MONDAY}T09:15")
    before = dict(states.states)
    clock.advance(60_000)
    broker.failures = [BrokerUnavailable("away"), BrokerUnavailable("away")]
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            scheduler.step()
    assert states.states == before, "not noted before it is safe"
    scheduler.step()
    assert fired(broker) == ["28 09:16"]
    assert states.states != before
