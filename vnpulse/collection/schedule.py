"""When scheduled analyses are due: derived from the calendar, the same in every process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from vnpulse.collection.settings import ScheduleSettings
from vnpulse.ids import derived_id
from vnpulse.messages import VIETNAM, AnalysisTrigger, TriggerMetadata
from vnpulse.trading_calendar import TradingCalendar, day_of


class Moment(NamedTuple):
    """A point of the schedule on a day; ``at_ms`` is epoch milliseconds."""

    at_ms: int
    name: str
    day: dt.date


class Schedule:
    """The points of the settings on every trading day."""

    def __init__(self, settings: ScheduleSettings, calendar: TradingCalendar) -> None:
        self._points = settings.points
        self._exchange = settings.exchange
        self._calendar = calendar

    def of_day(self, day: dt.date) -> list[Moment]:
        """Return the moments of ``day`` in order; none on a day without trading."""
        blocks = self._calendar.blocks(self._exchange, day)
        if not blocks:
            return []
        anchors = {"open": blocks[0][0], "close": blocks[-1][1]}
        if len(blocks) > 1:
            anchors["midday"] = blocks[-2][1]
        return sorted(
            Moment(anchors[point.anchor] + point.minutes * 60_000, point.name, day)
            for point in self._points
            if point.anchor in anchors
        )

    def due(self, after_ms: int, through_ms: int) -> list[Moment]:
        """Return the moments with ``after_ms < at_ms <= through_ms``, in order."""
        # A point belongs to the day of its anchor and lies at most 8 h after the close of that day.
        first, last = day_of(after_ms) - dt.timedelta(days=1), day_of(through_ms) + dt.timedelta(days=1)
        days = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
        return [
            moment for day in days for moment in self.of_day(day) if after_ms < moment.at_ms <= through_ms
        ]

    def next_after(self, now_ms: int) -> Moment | None:
        """Return the first moment after ``now_ms``; None without points."""
        if not self._points:
            return None
        day = day_of(now_ms) - dt.timedelta(days=1)
        while True:
            for moment in self.of_day(day):
                if moment.at_ms > now_ms:
                    return moment
            day = self._calendar.next_trading_day(day)


def triggers_of(moment: Moment, symbols: Sequence[str]) -> list[AnalysisTrigger]:
    """Return one trigger a symbol. Ids derive from the point, the day and the symbol: a moment that is
    fired again, by whomever, fires the same triggers."""
    at = dt.datetime.fromtimestamp(moment.at_ms / 1000, VIETNAM)
    return [
        AnalysisTrigger(
            trigger_id=derived_id("scheduled", moment.name, moment.day.isoformat(), symbol),
            symbol=symbol,
            trigger_type="scheduled",
            timestamp=at,
            metadata=TriggerMetadata(priority="low"),
        )
        for symbol in symbols
    ]
