"""History in parts: what is cut where, what counts as a gap, and what is not asked for twice."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from tests.unit.collection.conftest import BrokerAtHand, ms
from vnpulse.clock import ManualClock
from vnpulse.collection.backfill import Backfill, Chunk, Outcome, chunks_of, merged_gaps
from vnpulse.collection.file_source import MemoryMarket
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.sources import SourceUnavailable
from vnpulse.messages import VIETNAM, PriceBar
from vnpulse.store.collection import DoneChunk
from vnpulse.topics import PRICES
from vnpulse.trading_calendar import TradingCalendar

FIRST, LAST = dt.date(2025, 7, 24), dt.date(2025, 7, 29)


def bar(time: str, interval: str = "1m", high: float = 11.0) -> PriceBar:
    at = dt.datetime.fromisoformat(time).replace(tzinfo=VIETNAM)
    return PriceBar("FPT", at, 10, high, 9, 10, 100, at + dt.timedelta(days=1), interval)  # type: ignore[arg-type]


@dataclass
class Noted:
    """CollectionStore's side of a backfill, without a server."""

    chunks: list[DoneChunk] = field(default_factory=list)

    def done_chunks(self, interval: str, symbols: Sequence[str]) -> list[DoneChunk]:
        return [c for c in self.chunks if c.interval == interval and c.symbol in symbols]

    def chunk_done(self, chunk: DoneChunk) -> None:
        self.chunks.append(chunk)


class Counting(MemoryMarket):
    """Counts requests, and fails as often as it is told."""

    asked = 0
    failures = 0

    def history(self, symbol: str, interval: str, first: dt.date, last: dt.date) -> list[PriceBar]:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise SourceUnavailable("vci: away")
        return super().history(symbol, interval, first, last)


@dataclass
class Work:
    """A backfill over given bars."""

    clock: ManualClock
    calendar: TradingCalendar
    make_outbox: Callable[[], Outbox]
    noted: Noted = field(default_factory=Noted)
    market: Counting = field(init=False)

    def of(self, *bars: PriceBar) -> Work:
        self.market = Counting(bars, self.clock)
        return self

    def run(self, interval: str = "1m", first: dt.date = FIRST, last: dt.date = LAST) -> list[Outcome]:
        backfill = Backfill(
            self.market,
            {"FPT": "HOSE"},
            self.calendar,
            self.make_outbox(),
            self.noted,  # type: ignore[arg-type]
            self.clock,
            self.clock.advance,
        )
        return list(backfill.run(chunks_of(["FPT"], interval, first, last)))


@pytest.fixture
def work(calendar: TradingCalendar, make_outbox: Callable[[], Outbox], clock: ManualClock) -> Work:
    clock.advance(ms("2025-08-04T08:00:00") - clock.now_ms())
    return Work(clock, calendar, make_outbox)


def test_minutes_are_cut_by_month_and_days_by_year() -> None:
    minutes = chunks_of(["A"], "1m", dt.date(2024, 12, 30), dt.date(2025, 2, 3))
    assert [(str(c.first), str(c.last)) for c in minutes] == [
        ("2024-12-30", "2024-12-31"),
        ("2025-01-01", "2025-01-31"),
        ("2025-02-01", "2025-02-03"),
    ]
    days = chunks_of(["A", "B"], "1d", dt.date(2024, 12, 30), dt.date(2025, 2, 3))
    assert [c.id for c in days] == [
        "A:1d:2024-12-30:2024-12-31",
        "A:1d:2025-01-01:2025-02-03",
        "B:1d:2024-12-30:2024-12-31",
        "B:1d:2025-01-01:2025-02-03",
    ]
    assert chunks_of([], "1m", FIRST, LAST) == []


def test_gaps_are_days_and_halves_by_the_calendar_and_never_single_minutes(work: Work) -> None:
    (outcome,) = work.of(
        bar("2025-07-24T09:15"), bar("2025-07-24T13:40"), bar("2025-07-28T14:45"), bar("2025-07-29T10:00")
    ).run()
    assert outcome.gaps == ["2025-07-25", "2025-07-28 09:00-11:30", "2025-07-29 13:00-14:45"]
    (outcome,) = work.of(bar("2025-07-24T00:00", "1d"), bar("2025-07-29T00:00", "1d")).run("1d")
    assert outcome.gaps == ["2025-07-25", "2025-07-28"]
    assert merged_gaps(outcome.gaps, work.calendar) == ["2025-07-25 to 2025-07-28 (2 days)"]


def test_a_session_that_is_not_over_is_no_gap(work: Work) -> None:
    work.clock.advance(ms("2025-07-29T12:00:00") - work.clock.now_ms())
    (outcome,) = work.of(bar("2025-07-29T10:00")).run(first=LAST)
    assert outcome.gaps == []
    assert work.noted.chunks == [], "the day goes on: it must be asked for again"


def test_what_is_done_is_not_asked_for_again_also_as_part_of_more(work: Work) -> None:
    work.of(bar("2025-07-24T09:15"), bar("2025-07-29T10:00"))
    first = work.run()
    again = work.run(first=dt.date(2025, 7, 25))
    assert work.market.asked == 1
    assert (again[0].bars, again[0].fetched) == (0, False)
    assert again[0].gaps == [gap for gap in first[0].gaps if gap >= "2025-07-25"]


def test_a_failure_is_tried_again_later_and_a_dead_source_is_given_up(work: Work) -> None:
    work.of(bar("2025-07-24T09:15"))
    work.market.failures = 2
    began = work.clock.now_ms()
    (outcome,) = work.run()
    assert (outcome.bars, outcome.error) == (1, "")
    assert work.clock.now_ms() - began == 60_000
    work.market.failures = 1_000
    outcomes = work.run(first=dt.date(2024, 12, 1), last=dt.date(2025, 6, 30))
    assert [o.error for o in outcomes] == ["vci: away"] * 3 + ["not tried: the sources are away"] * 4
    assert len(work.noted.chunks) == 1


def test_bars_that_consumers_would_refuse_are_not_sent(work: Work, broker: BrokerAtHand) -> None:
    (outcome,) = work.of(bar("2025-07-24T09:15"), bar("2025-07-24T09:16", high=8.0)).run()
    assert outcome.bars == 1
    assert len(broker.messages(PRICES, PriceBar)) == 1
    ((_, _, _, headers),) = [entry for entry in broker.log if entry[0] == f"{PRICES}_dlq"]
    assert headers["reason"] == "high-too-low"


def test_nothing_at_all_is_a_gap_that_is_asked_for_again(work: Work) -> None:
    (outcome,) = work.of().run()
    assert outcome.gaps == ["2025-07-24", "2025-07-25", "2025-07-28", "2025-07-29"]
    assert work.noted.chunks == []
    assert outcome.chunk == Chunk("FPT", "1m", FIRST, LAST)
