"""When the exchanges trade, and how much trading lies between two moments."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import holidays

from vnpulse.errors import SettingsError
from vnpulse.market import Exchange, MarketRules
from vnpulse.messages import VIETNAM

DAY_MS = 86_400_000

SEARCHED_DAYS = 60
"""No closure is longer: a search that finds no trading day within this has a wrong calendar."""


class PhaseOfDay(NamedTuple):
    """A phase on a given day, epoch milliseconds, its end not included."""

    kind: str
    begin_ms: int
    end_ms: int


def day_of(now_ms: int) -> dt.date:
    """Return the date in Vietnam at ``now_ms`` (epoch)."""
    return dt.datetime.fromtimestamp(now_ms / 1000, VIETNAM).date()


def midnight_ms(day: dt.date) -> int:
    """Return when ``day`` begins in Vietnam, epoch milliseconds."""
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=VIETNAM).timestamp() * 1000)


class TradingCalendar:
    """The calendar of configs/market.yaml. Times are epoch milliseconds, days are Vietnamese."""

    def __init__(self, market: MarketRules) -> None:
        """Raises SettingsError for a country that the package holidays does not know."""
        rules = market.calendar
        self._exchanges = market.exchanges
        try:
            self._holidays = holidays.country_holidays(rules.country)
        except NotImplementedError:
            raise SettingsError(
                f"calendar.country was {rules.country}, unknown to the package holidays"
            ) from None
        self._closed = frozenset(rules.extra_closed)
        self._open = frozenset(rules.extra_open) | {half.date for half in rules.half_days}
        self._ends = {half.date: half.ends_ms for half in rules.half_days}
        self.phases = lru_cache(maxsize=512)(self._phases)

    def is_trading_day(self, day: dt.date) -> bool:
        """Say whether the exchanges trade on ``day``."""
        if day in self._open:
            return True
        return day.weekday() < 5 and day not in self._closed and day not in self._holidays

    def next_trading_day(self, day: dt.date) -> dt.date:
        """Return the first trading day after ``day``. Raises ValueError if there is none for months."""
        for ahead in range(1, SEARCHED_DAYS):
            following = day + dt.timedelta(days=ahead)
            if self.is_trading_day(following):
                return following
        raise ValueError(f"no trading day within {SEARCHED_DAYS} days after {day}; is calendar right?")

    def trading_days(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """Return the trading days from ``first`` to ``last``, both included."""
        days = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
        return [day for day in days if self.is_trading_day(day)]

    def _phases(self, exchange: Exchange, day: dt.date) -> tuple[PhaseOfDay, ...]:
        """Return the phases of ``day`` in order, cut where a half day ends; none on a closed day."""
        if not self.is_trading_day(day):
            return ()
        midnight = midnight_ms(day)
        ends = self._ends.get(day, DAY_MS)
        return tuple(
            PhaseOfDay(phase.kind, midnight + phase.begin_ms, midnight + min(phase.end_ms, ends))
            for phase in self._exchanges[exchange].phases
            if phase.begin_ms < ends
        )

    def blocks(self, exchange: Exchange, day: dt.date) -> tuple[tuple[int, int], ...]:
        """Return the stretches of ``day`` without a break, (begin, end): morning and afternoon."""
        joined: list[tuple[int, int]] = []
        for _, begin, end in self.phases(exchange, day):
            if joined and joined[-1][1] == begin:
                joined[-1] = joined[-1][0], end
            else:
                joined.append((begin, end))
        return tuple(joined)

    def phase_at(self, exchange: Exchange, now_ms: int) -> str | None:
        """Return the kind of phase at ``now_ms``; None while the exchange is closed or at lunch."""
        for kind, begin, end in self.phases(exchange, day_of(now_ms)):
            if begin <= now_ms < end:
                return kind
        return None

    def first_trade_ms(self, exchange: Exchange, day: dt.date) -> int | None:
        """Return when trades are first possible on ``day``: when the opening auction, if any, is over."""
        return next(
            (begin for kind, begin, _ in self.phases(exchange, day) if kind != "ato"),
            None,
        )

    def trading_ms(self, exchange: Exchange, since_ms: int, until_ms: int) -> int:
        """Return how much continuous trading lies between two moments, milliseconds.

        Auctions, lunch, nights, weekends and holidays count for nothing: no trade is expected then.
        """
        if until_ms <= since_ms:
            return 0
        first, last = day_of(since_ms), day_of(until_ms)
        days: Iterable[dt.date] = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
        return sum(
            max(0, min(until_ms, end) - max(since_ms, begin))
            for day in days
            for kind, begin, end in self.phases(exchange, day)
            if kind == "continuous"
        )
