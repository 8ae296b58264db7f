"""Boards become bars: differences, minutes, days, and what is not invented."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.collection.conftest import NAN, ms, shown
from vnpulse.collection.bar_builder import BarBuilder
from vnpulse.collection.sources import Board
from vnpulse.trading_calendar import TradingCalendar

DAY = "2025-07-28T"


def board(time: str, source: str = "vci", row_times: str | None = None, **rows: Any) -> Board:
    """Rows are SYMBOL=(price, volume) or (price, volume, open, high, low); the day's are the price's."""
    full = {s: (*row, row[0], row[0], row[0]) if len(row) == 2 else row for s, row in rows.items()}
    price, volume, opened, high, low = (np.array(c, np.float64) for c in zip(*full.values(), strict=True))
    at = -1 if row_times is None else ms(row_times)
    times = np.full(len(full), at, np.int64)
    return Board(source, ms(time), list(full), price, opened, high, low, volume, times)


@pytest.fixture
def builder(calendar: TradingCalendar) -> BarBuilder:
    return BarBuilder(["FPT", "SHS"], {"FPT": "HOSE", "SHS": "HNX"}, calendar)


def feed(builder: BarBuilder, *boards: Board) -> list[Any]:
    """Apply boards as they come; return (symbol, minute, figures, closed) of every bar returned."""
    return [
        (
            bar.symbol,
            f"{bar.time:%H:%M}",
            shown(bar),
            bar.collected_at.timestamp() >= bar.time.timestamp() + 60,
        )
        for given in boards
        for bar in builder.apply(given, given.asked_ms)
    ]


def test_a_bar_grows_with_each_board_and_is_closed_once(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "09:14:45", FPT=(100.0, 0)),
        board(DAY + "09:15:15", FPT=(100.0, 500, 100.0, 100.0, 100.0)),
        board(DAY + "09:15:30", FPT=(101.0, 800, 100.0, 101.5, 100.0)),
        board(DAY + "09:15:45", FPT=(101.0, 800, 100.0, 101.5, 100.0)),
        board(DAY + "09:16:00", FPT=(99.0, 900, 100.0, 101.5, 99.0)),
        board(DAY + "09:16:15", FPT=(99.0, 900, 100.0, 101.5, 99.0)),
    )
    assert bars == [
        ("FPT", "09:15", (100.0, 100.0, 100.0, 100.0, 500), False),
        ("FPT", "09:15", (100.0, 101.5, 100.0, 101.0, 800), False),
        ("FPT", "09:15", (100.0, 101.5, 99.0, 99.0, 900), True),
    ]


def test_a_silent_minute_has_no_bar_and_the_open_is_the_first_price_seen(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "10:00:15", FPT=(100.0, 500)),
        board(DAY + "10:01:15", FPT=(100.0, 500)),
        board(DAY + "10:02:15", FPT=(100.5, 600)),
    )
    assert bars == [("FPT", "10:02", (100.5, 100.5, 100.5, 100.5, 100), False)]


def test_a_board_in_the_first_second_of_a_minute_belongs_to_the_minute_before(builder: BarBuilder) -> None:
    feed(builder, board(DAY + "10:00:45", FPT=(100.0, 500)))
    assert feed(builder, board(DAY + "10:01:00.400", FPT=(100.0, 600)))[0][1] == "10:00"
    assert feed(builder, board(DAY + "10:01:15", FPT=(100.0, 700)))[0][1] == "10:01"


def test_nothing_is_said_of_trades_before_the_first_board(builder: BarBuilder) -> None:
    assert feed(builder, board(DAY + "10:00:15", FPT=(100.0, 1_000_000))) == []
    assert feed(builder, board(DAY + "10:00:30", FPT=(100.0, 1_000_300)))[0][2][4] == 300


def test_yesterdays_volume_is_not_todays(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "08:59:00", SHS=(14.0, 9_000_000)),
        board(DAY + "09:00:15", SHS=(14.0, 9_000_000)),  # not begun the new day yet
        board(DAY + "09:00:30", SHS=(14.2, 4_000)),
        board(DAY + "09:00:45", SHS=(14.2, 4_500)),
    )
    assert [(minute, figures[4]) for _, minute, figures, _ in bars] == [("09:00", 4_000), ("09:00", 4_500)]


def test_orders_collected_for_the_opening_auction_are_no_trades(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "09:05:00", FPT=(103.0, 0), SHS=(14.0, 0)),
        board(DAY + "09:14:45", FPT=(107.0, 0), SHS=(14.0, 0)),
        board(DAY + "09:15:00.200", FPT=(104.0, 70_000), SHS=(14.0, 0)),
        board(DAY + "09:15:15", FPT=(104.0, 70_000), SHS=(14.0, 0)),
    )
    assert bars == [("FPT", "09:15", (104.0, 104.0, 104.0, 104.0, 70_000), False)]


def test_the_closing_auction_is_in_the_minute_in_which_it_is_seen(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "14:29:45", FPT=(100.0, 1_000)),
        board(DAY + "14:30:00", FPT=(100.0, 1_000)),
        board(DAY + "14:37:00", FPT=(98.0, 1_000)),  # an indicative price
        board(DAY + "14:45:15", FPT=(99.0, 61_000)),
    )
    assert bars == [("FPT", "14:45", (99.0, 99.0, 99.0, 99.0, 60_000), False)]


def test_lunch_is_no_gap(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "11:29:45", FPT=(100.0, 1_000)),
        board(DAY + "11:32:00", FPT=(100.0, 1_000)),
        board(DAY + "12:59:00", FPT=(100.0, 1_000)),
        board(DAY + "13:00:15", FPT=(100.0, 1_200)),
    )
    assert bars == [("FPT", "13:00", (100.0, 100.0, 100.0, 100.0, 200), False)]


def test_what_was_traded_in_a_gap_is_in_no_minute_but_in_the_day(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "10:00:15", FPT=(100.0, 1_000)),
        board(DAY + "10:05:00", FPT=(104.0, 9_000, 100.0, 105.0, 99.0)),
        board(DAY + "10:05:15", FPT=(103.0, 9_100, 100.0, 105.0, 99.0)),
    )
    assert bars == [("FPT", "10:05", (103.0, 103.0, 103.0, 103.0, 100), False)]
    assert builder.counts["gaps"] == 1
    assert [shown(bar) for bar in builder.daily_bars(ms(DAY + "10:05:15"))] == [
        (100.0, 105.0, 99.0, 103.0, 9_100)
    ]


def test_a_volume_that_goes_backwards_is_not_counted_twice(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "10:00:15", FPT=(100.0, 1_000)),
        board(DAY + "10:00:30", FPT=(100.0, 1_100)),
        board(DAY + "10:00:45", FPT=(100.0, 1_050)),  # another backend of the source, a moment behind
        board(DAY + "10:01:00", FPT=(100.0, 1_150)),
    )
    assert [(minute, figures[4]) for _, minute, figures, _ in bars] == [("10:00", 100), ("10:00", 150)]
    assert builder.counts["volume_backwards"] == 1


def test_a_volume_that_stays_lower_is_the_new_truth_after_a_while(builder: BarBuilder) -> None:
    feed(builder, board(DAY + "10:00:15", FPT=(100.0, 50_000)))
    for second in range(15, 215, 15):
        at = f"10:{1 + second // 60:02d}:{second % 60:02d}"
        assert feed(builder, board(DAY + at, FPT=(100.0, 2_000))) == []
    assert feed(builder, board(DAY + "10:04:45", FPT=(100.0, 2_300)))[0][2][4] == 300


def test_two_sources_are_never_subtracted_from_one_another(builder: BarBuilder) -> None:
    bars = feed(
        builder,
        board(DAY + "10:00:15", FPT=(100.0, 1_000)),
        board(DAY + "10:00:30", source="kbs", FPT=(100.0, 7_000)),  # counts put-through, say
        board(DAY + "10:00:45", FPT=(100.0, 1_300)),
        board(DAY + "10:01:15", source="kbs", FPT=(100.0, 7_900)),
        board(DAY + "10:01:30", source="kbs", FPT=(100.0, 8_000)),
        board(DAY + "10:01:45", FPT=(100.0, 2_000)),
        board(DAY + "10:02:00", FPT=(100.0, 2_100)),
    )
    grown = [(minute, figures[4]) for _, minute, figures, _ in bars]
    assert grown == [("10:00", 300), ("10:00", 300), ("10:01", 100), ("10:01", 200)]


def test_a_source_that_comes_back_after_the_opening_does_not_count_the_day_again(builder: BarBuilder) -> None:
    feed(
        builder,
        board(DAY + "08:59:00", SHS=(14.0, 0)),
        board(DAY + "08:59:30", source="kbs", SHS=(14.0, 0)),
        board(DAY + "09:00:15", source="kbs", SHS=(14.0, 500)),
    )
    bars = feed(builder, board(DAY + "09:00:30", SHS=(14.0, 600)), board(DAY + "09:00:45", SHS=(14.0, 650)))
    assert [figures[4] for *_, figures, _ in bars] == [550]


def test_a_rows_own_time_is_believed_when_it_is_near_ours(builder: BarBuilder) -> None:
    feed(builder, board(DAY + "10:00:45", source="kbs", FPT=(100.0, 1_000)))
    late = board(DAY + "10:01:05", source="kbs", row_times=DAY + "10:00:58", FPT=(100.0, 1_100))
    assert feed(builder, late)[0][1] == "10:00"
    skewed = board(DAY + "10:01:15", source="kbs", row_times=DAY + "17:01:10", FPT=(100.0, 1_200))
    assert feed(builder, skewed)[0][1] == "10:01"
    assert builder.counts["clock_skew"] == 1


def test_a_minute_that_is_over_is_never_written_again(builder: BarBuilder) -> None:
    feed(
        builder,
        board(DAY + "10:00:45", source="kbs", FPT=(100.0, 1_000)),
        board(DAY + "10:00:50", source="kbs", FPT=(100.0, 1_100)),
    )
    assert [shown(bar)[4] for bar in builder.close_due(ms(DAY + "10:01:00"))] == [100]
    late = board(DAY + "10:01:10", source="kbs", row_times=DAY + "10:00:59", FPT=(101.0, 1_150))
    assert feed(builder, late) == [("FPT", "10:01", (101.0, 101.0, 101.0, 101.0, 50), False)]


def test_growth_without_a_price_waits_for_one(builder: BarBuilder) -> None:
    feed(builder, board(DAY + "10:00:15", FPT=(100.0, 1_000)))
    assert feed(builder, board(DAY + "10:00:30", FPT=(NAN, 1_200))) == []
    assert feed(builder, board(DAY + "10:00:45", FPT=(100.5, 1_300)))[0][2] == (
        100.5,
        100.5,
        100.5,
        100.5,
        300,
    )


def test_a_restart_within_a_minute_loses_nothing(builder: BarBuilder, calendar: TradingCalendar) -> None:
    feed(
        builder,
        board(DAY + "10:00:15", FPT=(100.0, 1_000)),
        board(DAY + "10:00:30", FPT=(102.0, 1_200)),
    )
    # A symbol came and one went while it was down.
    again = BarBuilder(["ACB", "FPT"], {"ACB": "HOSE", "FPT": "HOSE"}, calendar)
    again.load(builder.dump())
    bars = feed(again, board(DAY + "10:00:55", ACB=(25.0, 10), FPT=(101.0, 1_500)))
    assert bars == [("FPT", "10:00", (102.0, 102.0, 101.0, 101.0, 500), False)]


def test_unknown_symbols_and_rows_without_a_volume_are_passed_over(builder: BarBuilder) -> None:
    feed(builder, board(DAY + "10:00:15", XYZ=(1.0, 100), FPT=(100.0, 1_000)))
    assert feed(builder, board(DAY + "10:00:30", XYZ=(1.0, 200), FPT=(100.0, NAN))) == []


def test_the_days_bar_comes_when_it_changed(builder: BarBuilder) -> None:
    feed(builder, board(DAY + "10:00:15", FPT=(101.0, 1_000, 100.0, 103.0, 99.0), SHS=(NAN, 0)))
    now = ms(DAY + "10:05:00")
    daily = builder.daily_bars(now)
    assert [(b.symbol, b.interval, f"{b.time:%H:%M}", shown(b)) for b in daily] == [
        ("FPT", "1d", "00:00", (100.0, 103.0, 99.0, 101.0, 1_000))
    ]
    assert builder.daily_bars(now) == []
