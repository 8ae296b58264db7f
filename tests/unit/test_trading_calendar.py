"""Which days trade, which phase it is, and how much trading lies between two moments."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from vnpulse.errors import SettingsError
from vnpulse.market import CalendarRules, HalfDay, load_market
from vnpulse.messages import VIETNAM
from vnpulse.trading_calendar import TradingCalendar, day_of, midnight_ms

MINUTE_MS = 60_000


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=VIETNAM).timestamp() * 1000)


def calendar(**rules: Any) -> TradingCalendar:
    return TradingCalendar(load_market().model_copy(update={"calendar": CalendarRules(**rules)}))


@pytest.mark.parametrize(
    ("day", "trades"),
    [
        ("2025-04-29", True),
        pytest.param("2025-04-30", False, id="Reunification Day"),
        pytest.param("2025-05-02", False, id="swapped: in our list, not in the package"),
        pytest.param("2025-05-03", False, id="a Saturday"),
        ("2025-05-05", True),
        pytest.param("2026-02-17", False, id="Lunar New Year"),
        pytest.param("2026-04-27", False, id="the Monday after a holiday on Sunday"),
    ],
)
def test_the_shipped_calendar(day: str, trades: bool) -> None:
    assert TradingCalendar(load_market()).is_trading_day(dt.date.fromisoformat(day)) is trades


def test_notices_correct_the_calendar() -> None:
    saturday, monday = dt.date(2025, 7, 26), dt.date(2025, 7, 28)
    corrected = calendar(extra_open=(saturday,), extra_closed=(monday,))
    assert corrected.is_trading_day(saturday)
    assert not corrected.is_trading_day(monday)
    assert corrected.next_trading_day(saturday) == dt.date(2025, 7, 29)
    assert corrected.trading_days(dt.date(2025, 7, 25), dt.date(2025, 7, 29)) == [
        dt.date(2025, 7, 25),
        saturday,
        dt.date(2025, 7, 29),
    ]


def test_a_day_cannot_be_open_and_closed() -> None:
    with pytest.raises(ValueError, match="2025-07-28 is closed"):
        CalendarRules(extra_open=(dt.date(2025, 7, 28),), extra_closed=(dt.date(2025, 7, 28),))
    with pytest.raises(SettingsError, match=r"calendar\.country was XX"):
        calendar(country="XX")


@pytest.mark.parametrize(
    ("time", "hose", "hnx", "upcom"),
    [
        ("08:59:59", None, None, None),
        ("09:00:00", "ato", "continuous", "continuous"),
        ("09:15:00", "continuous", "continuous", "continuous"),
        ("11:29:59", "continuous", "continuous", "continuous"),
        ("11:30:00", None, None, None),
        ("13:00:00", "continuous", "continuous", "continuous"),
        ("14:30:00", "atc", "atc", "continuous"),
        ("14:45:00", None, "plo", "continuous"),
        ("15:00:00", None, None, None),
    ],
)
def test_phases(time: str, hose: str | None, hnx: str | None, upcom: str | None) -> None:
    at = ms(f"2025-07-28T{time}")
    shipped = TradingCalendar(load_market())
    assert [shipped.phase_at(e, at) for e in ("HOSE", "HNX", "UPCoM")] == [hose, hnx, upcom]  # type: ignore[arg-type]


def test_a_half_day_ends_early() -> None:
    half = calendar(half_days=(HalfDay(date=dt.date(2025, 7, 28), ends="11:00"),))
    assert half.blocks("HOSE", dt.date(2025, 7, 28)) == ((ms("2025-07-28T09:00"), ms("2025-07-28T11:00")),)
    assert half.phase_at("HOSE", ms("2025-07-28T13:30")) is None
    assert len(half.blocks("HOSE", dt.date(2025, 7, 29))) == 2


@pytest.mark.parametrize(
    ("since", "until", "minutes"),
    [
        ("2025-07-28T09:20", "2025-07-28T09:25", 5),
        pytest.param("2025-07-28T11:25", "2025-07-28T13:05", 10, id="lunch counts for nothing"),
        pytest.param("2025-07-28T14:25", "2025-07-28T14:50", 5, id="an auction counts for nothing"),
        pytest.param("2025-07-25T14:29", "2025-07-28T09:16", 2, id="nor does a weekend"),
        pytest.param("2025-07-28T09:25", "2025-07-28T09:20", 0, id="backwards"),
    ],
)
def test_trading_between_two_moments(since: str, until: str, minutes: int) -> None:
    shipped = TradingCalendar(load_market())
    assert shipped.trading_ms("HOSE", ms(since), ms(until)) == minutes * MINUTE_MS


def test_days_are_vietnamese() -> None:
    assert day_of(ms("2025-07-28T00:00")) == dt.date(2025, 7, 28)
    assert midnight_ms(dt.date(2025, 7, 28)) == ms("2025-07-28T00:00")


def test_the_first_trade_comes_after_the_opening_auction() -> None:
    shipped = TradingCalendar(load_market())
    day = dt.date(2025, 7, 28)
    assert shipped.first_trade_ms("HOSE", day) == ms("2025-07-28T09:15")
    assert shipped.first_trade_ms("HNX", day) == ms("2025-07-28T09:00")
    assert shipped.first_trade_ms("HNX", dt.date(2025, 7, 27)) is None
