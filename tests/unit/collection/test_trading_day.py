"""A simulated trading day: 48 symbols on three exchanges, polled by the collectors under a virtual clock."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest

from tests.unit.collection.conftest import (
    BrokerAtHand,
    Exchanges,
    MemoryStates,
    Trade,
    bars_of,
    ms,
    run_until,
    shown,
)
from vnpulse.clock import ManualClock
from vnpulse.collection.fallback import FallbackMarket
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.price_collector import PriceCollector
from vnpulse.collection.schedule import Schedule
from vnpulse.collection.scheduler import Scheduler
from vnpulse.collection.settings import PriceSettings, SchedulePoint, ScheduleSettings
from vnpulse.errors import BrokerUnavailable
from vnpulse.market import Exchange, load_market
from vnpulse.messages import Alert, AnalysisTrigger, PriceBar
from vnpulse.topics import ALERTS, PRICES, TRIGGERS
from vnpulse.trading_calendar import TradingCalendar

MONDAY, TUESDAY, WEDNESDAY = "2025-09-01", "2025-09-02", "2025-09-03"
"""The first two are National Day."""
DAY = WEDNESDAY
POLL_MS = 15_000

EXCHANGES: tuple[Exchange, ...] = ("HOSE", "HNX", "UPCoM")
SYMBOLS: dict[str, Exchange] = {f"S{i:02d}": EXCHANGES[i % 3] for i in range(48)}
HALTED = "S03"
HALT = (ms(f"{DAY}T10:00:00"), ms(f"{DAY}T10:40:00"))
OUTAGE = (ms(f"{DAY}T13:30:05"), ms(f"{DAY}T13:40:05"))
POINTS = (
    SchedulePoint(name="open", anchor="open", minutes=16),
    SchedulePoint(name="mid-session", anchor="midday", minutes=1),
    SchedulePoint(name="close", anchor="close", minutes=1),
)
DUE = {"open": f"{DAY}T09:16", "mid-session": f"{DAY}T11:31", "close": f"{DAY}T14:46"}


@cache
def a_day_of_trades() -> dict[str, list[Trade]]:
    """At most one trade between two polls, so that a poll sees every price."""
    calendar = TradingCalendar(load_market())
    rng = random.Random(7)
    trades: dict[str, list[Trade]] = {}
    day = ms(f"{DAY}T00:00:00")
    for symbol, exchange in SYMBOLS.items():
        price = rng.uniform(10, 90)
        activity = rng.choice([0.02, 0.2, 0.9])  # from illiquid to busy
        of_symbol = []
        if exchange == "HOSE":
            of_symbol.append(Trade(ms(f"{DAY}T09:15:00") + 4_000, round(price, 2), 12_300))
        for begin in range(day, day + 86_400_000, POLL_MS):
            at = begin + rng.randrange(3_000, 12_000)
            if calendar.phase_at(exchange, at) not in ("continuous", "plo") or rng.random() > activity:
                continue
            if (symbol == HALTED and HALT[0] <= at < HALT[1]) or (of_symbol and of_symbol[-1].at_ms >= begin):
                continue
            if exchange == "HNX" and begin == ms(f"{DAY}T14:45:00"):
                continue  # the closing auction's print comes between these two polls
            price *= 1 + rng.gauss(0, 0.001)
            of_symbol.append(Trade(at, round(price, 2), rng.randrange(1, 90) * 100))
        if exchange != "UPCoM":
            of_symbol.append(Trade(ms(f"{DAY}T14:45:02"), round(price, 2), 45_600))
        trades[symbol] = sorted(of_symbol)
    return trades


class TradingDay:
    """The collectors of a deployment; ``restart`` makes new ones on the same store and broker."""

    def __init__(
        self,
        calendar: TradingCalendar,
        clock: ManualClock,
        broker: BrokerAtHand,
        states: MemoryStates,
        make_outbox: Callable[[], Outbox],
    ) -> None:
        self.calendar, self.clock, self.broker, self.states = calendar, clock, broker, states
        self.make_outbox = make_outbox
        self.trades = a_day_of_trades()
        self.vci = Exchanges(clock, self.trades, "vci", [OUTAGE])
        self.restart()

    def restart(self) -> None:
        self.prices = PriceCollector(
            PriceSettings(),
            15,
            FallbackMarket([self.vci], self.clock),
            SYMBOLS,
            self.calendar,
            self.make_outbox(),
            self.states,  # type: ignore[arg-type]
            self.states,  # type: ignore[arg-type]
            self.clock,
        )
        schedule = Schedule(ScheduleSettings(points=POINTS), self.calendar)
        self.scheduler = Scheduler(
            schedule,
            1_800_000,
            sorted(SYMBOLS),
            self.make_outbox(),
            self.states,
            self.clock,  # type: ignore[arg-type]
        )

    def run(self, until: str) -> None:
        for _ in run_until([self.prices, self.scheduler], self.clock, ms(until)):
            pass

    def last_bars(self, interval: str) -> dict[str, dict[int, PriceBar]]:
        """Return what a store would hold: the last message of each bar."""
        held: dict[str, dict[int, PriceBar]] = {symbol: {} for symbol in SYMBOLS}
        for bar in self.broker.messages(PRICES, PriceBar):
            if bar.interval == interval:
                held[bar.symbol][int(bar.time.timestamp() * 1000)] = bar
        return held


@pytest.fixture
def trading_day(
    calendar: TradingCalendar,
    clock: ManualClock,
    broker: BrokerAtHand,
    states: MemoryStates,
    make_outbox: Callable[[], Outbox],
) -> TradingDay:
    clock.advance(ms(f"{DAY}T08:00:00") - clock.now_ms())
    return TradingDay(calendar, clock, broker, states, make_outbox)


def placed(day: TradingDay, symbol: str) -> list[Trade]:
    """The trades that boards can place in a minute: those that fell into the outage are in none."""
    last = max(at for at in day.vci.asked if at < OUTAGE[0])
    first = min(at for at in day.vci.asked if at >= OUTAGE[1])
    assert first - OUTAGE[1] <= 150_000, "it is noticed soon that the source is back"
    return [trade for trade in day.trades[symbol] if not last <= trade.at_ms < first]


def test_a_trading_day_gives_exactly_its_bars_triggers_and_one_alert(trading_day: TradingDay) -> None:
    trading_day.clock.advance(ms(f"{MONDAY}T08:00:00") - trading_day.clock.now_ms())
    trading_day.run(f"{TUESDAY}T23:00:00")
    assert trading_day.vci.asked == [], "nothing is asked on a holiday"
    assert trading_day.broker.log == []

    trading_day.run(f"{DAY}T23:00:00")
    minutes = trading_day.last_bars("1m")
    for symbol in SYMBOLS:
        held = {minute: shown(bar) for minute, bar in minutes[symbol].items()}
        assert held == bars_of(placed(trading_day, symbol)), symbol
    halted = [minute for minute in minutes[HALTED] if HALT[0] <= minute < HALT[1]]
    assert halted == [], "nothing is invented for a halt"

    daily = trading_day.last_bars("1d")
    for symbol, trades in trading_day.trades.items():
        expected = bars_of(Trade(ms(f"{DAY}T00:00:00"), t.price, t.volume) for t in trades)
        assert {at: shown(bar) for at, bar in daily[symbol].items()} == expected, symbol

    fired = Counter(
        (t.timestamp, t.trigger_type) for t in trading_day.broker.messages(TRIGGERS, AnalysisTrigger)
    )
    assert {int(at.timestamp() * 1000): n for (at, kind), n in fired.items() if kind == "scheduled"} == {
        ms(at): len(SYMBOLS) for at in DUE.values()
    }
    alerts = trading_day.broker.messages(ALERTS, Alert)
    assert [(a.alert_type, a.symbol, f"{a.timestamp:%H:%M}") for a in alerts] == [
        ("risk_alert", "VNINDEX", "13:33")
    ]
    assert "vci: is away" in alerts[0].message
    assert trading_day.states.alerts == alerts


def test_every_bar_is_closed_once_its_minute_is_over(trading_day: TradingDay) -> None:
    trading_day.run(f"{DAY}T11:00:01")
    closings: Counter[tuple[str, int]] = Counter()
    for bar in trading_day.broker.messages(PRICES, PriceBar):
        if bar.interval == "1m" and bar.collected_at.timestamp() >= bar.time.timestamp() + 60:
            closings[bar.symbol, int(bar.time.timestamp() * 1000)] += 1
    bars = {(s, at) for s, held in trading_day.last_bars("1m").items() for at in held}
    assert set(closings) == bars
    assert set(closings.values()) == {1}


def test_boards_are_asked_for_only_around_sessions_and_never_too_often(trading_day: TradingDay) -> None:
    trading_day.run(f"{DAY}T23:00:00")
    asked = trading_day.vci.asked
    assert min(asked) == ms(f"{DAY}T08:59:00")
    assert max(asked) == ms(f"{DAY}T15:05:00")
    assert not [at for at in asked if ms(f"{DAY}T11:32:00") < at < ms(f"{DAY}T12:59:00")]
    per_minute = Counter(at // 60_000 for at in asked)
    assert max(per_minute.values()) == 4


def test_restarts_and_a_broker_that_goes_away_change_no_bar_and_no_trigger(trading_day: TradingDay) -> None:
    trading_day.run(f"{DAY}T09:15:50")
    trading_day.restart()
    trading_day.run(f"{DAY}T10:00:07")
    trading_day.broker.failures = [BrokerUnavailable("away")]
    with pytest.raises(BrokerUnavailable):
        trading_day.run(f"{DAY}T10:00:20")
    trading_day.run(f"{DAY}T11:30:40")
    trading_day.restart()
    trading_day.run(f"{DAY}T14:46:00")  # the close is due at this very moment
    trading_day.restart()
    trading_day.run(f"{DAY}T23:00:00")
    minutes = trading_day.last_bars("1m")
    for symbol in SYMBOLS:
        held = {minute: shown(bar) for minute, bar in minutes[symbol].items()}
        assert held == bars_of(placed(trading_day, symbol)), symbol
    ids = Counter(t.trigger_id for t in trading_day.broker.messages(TRIGGERS, AnalysisTrigger))
    assert len(ids) == len(POINTS) * len(SYMBOLS)
    assert set(ids.values()) == {1}


def test_a_state_of_another_version_is_begun_anew(
    trading_day: TradingDay, states: MemoryStates, caplog: pytest.LogCaptureFixture
) -> None:
    states.states["prices"] = b"\x93\x01\x02\x03"
    trading_day.run(f"{DAY}T09:20:00")
    assert "the saved state cannot be read" in caplog.text
    assert trading_day.last_bars("1m")["S02"]


def test_a_second_source_takes_over_and_the_first_takes_back(trading_day: TradingDay) -> None:
    kbs = Exchanges(trading_day.clock, trading_day.trades, "kbs")
    market = FallbackMarket([trading_day.vci, kbs], trading_day.clock)
    trading_day.prices._market = market
    trading_day.run(f"{DAY}T15:30:00")
    assert trading_day.broker.messages(ALERTS, Alert) == []
    assert market.counts["switches"] == 2
    assert market.active == "vci"
    by_source = Counter(bar.source for bar in trading_day.broker.messages(PRICES, PriceBar))
    assert by_source["kbs"] > 0
    # A left-alone source is not asked: 3 failures, then one try for each cooldown.
    during = [at for at in trading_day.vci.asked if OUTAGE[0] <= at < OUTAGE[1]]
    assert len(during) <= 8
    total = sum(int(bar.volume) for held in trading_day.last_bars("1m").values() for bar in held.values())
    true_total = sum(t.volume for trades in trading_day.trades.values() for t in trades)
    assert total > 0.99 * true_total, "a switch costs at most the trades between two boards"
    assert total <= true_total
