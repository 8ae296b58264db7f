"""BarStore on a real server."""

from __future__ import annotations

import datetime as dt

import numpy as np

from tests.integration.market import OPENING, minute_ms
from tests.integration.store.conftest import batch, minutes
from tests.integration.trial import Trial
from vnpulse.batches import BarBatch, Series
from vnpulse.store.bars import BarStore

DAY = "2025-07-28"


def day_ms(number: int) -> int:
    midnight = OPENING.replace(hour=0)
    return int((midnight + dt.timedelta(days=number)).timestamp() * 1000)


def rows_of(batches: list[BarBatch], symbol: str, interval: str = "1m") -> list[tuple[int, float, int]]:
    """Return (time, close, offset) of a series in the order of the batches."""
    found = []
    for one in batches:
        if Series(symbol, interval) in one.series:
            code = one.series.index(Series(symbol, interval))
            found += [
                (int(one.time_ms[i]), float(one.prices[i, 3]), int(one.offsets[i]))
                for i in np.flatnonzero(one.codes == code)
            ]
    return found


def test_a_bar_is_read_back_as_it_was_written(bars: BarStore) -> None:
    bars.write([batch([("VCB", "1m", minute_ms(3), 85.5)], start=7, closed=False)])
    assert bars.between("VCB", "1m", DAY, DAY) == [
        [minute_ms(3), 85.5, 86.5, 84.5, 85.5, 100.0, 7, 1_000, False]
    ]


def test_a_bar_of_the_same_time_replaces_the_first(bars: BarStore) -> None:
    bars.write([batch([("VCB", "1m", minute_ms(3), 85.5)], start=7)])
    bars.write([batch([("VCB", "1m", minute_ms(3), 86.0)], start=8)])
    ((time_ms, *prices, _, offset, _, _),) = bars.between("VCB", "1m", DAY, DAY)
    assert (time_ms, prices[3], offset) == (minute_ms(3), 86.0, 8)


def closes(bars: BarStore, symbol: str = "VCB") -> list[float]:
    return [bar[4] for bar in bars.between(symbol, "1m", DAY, DAY)]


def test_a_writer_that_comes_back_late_replaces_no_later_bar(bars: BarStore) -> None:
    """Whole buckets are refused at first: what else is in them is written all the same."""
    bars.write([batch(minutes("VCB", 0, 4), start=10, append_ms=1_010)])
    late = [*minutes("VCB", 2, 4, close=50.0), ("FPT", "1m", minute_ms(0), 70.0)]
    bars.write([batch(late, start=2, append_ms=1_002)])
    assert closes(bars) == [10.0, 11.0, 12.0, 13.0, 54.0, 55.0]
    assert closes(bars, "FPT") == [70.0]
    bars.write([batch(minutes("VCB", 0, 2, close=90.0), start=3, append_ms=1_003)])
    assert closes(bars)[:2] == [10.0, 11.0]


def test_a_clock_that_is_behind_and_a_topic_that_was_made_anew_hold_no_bar_back(bars: BarStore) -> None:
    bars.write([batch(minutes("VCB", 0, 1), start=10, append_ms=1_010)])
    bars.write([batch(minutes("VCB", 0, 1, close=20.0), start=11, append_ms=1_005)])
    assert closes(bars) == [20.0]
    bars.write([batch(minutes("VCB", 0, 1, close=30.0), start=0, append_ms=2_000)])
    assert closes(bars) == [30.0]
    bars.write([batch(minutes("VCB", 0, 1, close=40.0), partition=-1)])
    assert closes(bars) == [40.0]


def test_within_one_batch_the_last_of_the_same_time_counts(bars: BarStore) -> None:
    bars.write([batch([("VCB", "1m", minute_ms(3), close) for close in (1.0, 2.0, 3.0)])])
    assert [bar[4] for bar in bars.between("VCB", "1m", DAY, DAY)] == [3.0]


def test_writing_again_changes_nothing(bars: BarStore, trial: Trial) -> None:
    written = [batch(minutes("VCB", 0, 40)), batch(minutes("FPT", 0, 40), partition=1)]
    bars.write(written)
    before = sorted(map(str, trial.database()["bars"].find()))
    bars.write(written)
    bars.write(list(reversed(written)))
    assert sorted(map(str, trial.database()["bars"].find())) == before
    assert bars.stored_through("prices") == {0: 40, 1: 40}


def test_bars_of_many_quarters_days_and_intervals_are_kept_apart(bars: BarStore) -> None:
    rows = [*minutes("VCB", 0, 100), ("VCB", "5m", minute_ms(0), 7.0), ("VCB", "1d", day_ms(0), 8.0)]
    rows += [("VCB", "1m", minute_ms(0) + 86_400_000, 9.0)]
    bars.write([batch(rows)])
    assert len(bars.between("VCB", "1m", DAY, DAY)) == 100
    assert [bar[4] for bar in bars.between("VCB", "5m", DAY, DAY)] == [7.0]
    assert [bar[4] for bar in bars.between("VCB", "1d", DAY, DAY)] == [8.0]
    assert [bar[4] for bar in bars.between("VCB", "1m", "2025-07-29", "2025-07-29")] == [9.0]


def test_between_is_in_order_of_time_and_includes_both_days(bars: BarStore) -> None:
    bars.write([batch([("VCB", "1d", day_ms(i), float(i + 1)) for i in (5, -3, 0, 2, 40)])])
    assert [bar[4] for bar in bars.between("VCB", "1d", "2025-07-25", "2025-08-02")] == [-2.0, 1.0, 3.0, 6.0]
    assert bars.between("VCB", "1d", "2025-07-26", "2025-07-27") == []
    assert bars.between("FPT", "1d", "2025-07-25", "2025-08-02") == []


def test_count_between_counts_all_symbols_of_an_interval(bars: BarStore) -> None:
    bars.write([batch(minutes("VCB", 0, 20) + minutes("FPT", 10, 5) + [("VCB", "1d", day_ms(0), 1.0)])])
    assert bars.count_between("1m", DAY, DAY) == 25
    assert bars.count_between("1d", DAY, DAY) == 1
    assert bars.count_between("1m", "2025-07-29", "2025-08-02") == 0


def test_progress_never_goes_back(bars: BarStore) -> None:
    bars.write([batch(minutes("VCB", 0, 10), start=100)])
    bars.write([batch(minutes("VCB", 0, 5), start=50)])
    assert bars.stored_through("prices") == {0: 110}


def test_progress_counts_records_that_gave_no_bar(bars: BarStore) -> None:
    bars.write([batch([], partition=3, start=40)])
    assert bars.stored_through("prices") == {3: 40}


def test_progress_is_kept_by_topic(bars: BarStore) -> None:
    bars.write([batch(minutes("VCB", 0, 3), topic="one"), batch(minutes("VCB", 0, 5), topic="other")])
    assert bars.stored_through("one") == {0: 3}
    assert bars.stored_through("other") == {0: 5}
    assert bars.stored_through("third") == {}


def test_bars_that_were_put_in_directly_leave_no_progress(bars: BarStore, trial: Trial) -> None:
    bars.write([batch([("VCB", "1d", day_ms(-i), 1.0) for i in range(1, 30)], partition=-1)])
    assert trial.database()["progress"].count_documents({}) == 0
    assert bars.count_between("1d", "2025-06-01", DAY) == 29


def test_an_empty_store_has_no_latest_bars(bars: BarStore) -> None:
    assert list(bars.latest_bars(("1m", "1d"), 100)) == []


def test_latest_bars_are_the_last_of_each_series_in_order(bars: BarStore) -> None:
    bars.write([batch(minutes("VCB", 0, 100) + minutes("FPT", 0, 3), partition=2)])
    latest = list(bars.latest_bars(("1m",), 50))
    assert [(b.topic, b.partition) for b in latest] == [("prices", 2)]
    assert [time for time, _, _ in rows_of(latest, "VCB")] == [minute_ms(i) for i in range(50, 100)]
    assert [offset for _, _, offset in rows_of(latest, "VCB")] == list(range(50, 100))
    assert [time for time, _, _ in rows_of(latest, "FPT")] == [minute_ms(i) for i in range(3)]


def test_latest_bars_come_for_each_interval_asked_for_and_no_other(bars: BarStore) -> None:
    rows = minutes("VCB", 0, 5) + [("VCB", "1d", day_ms(-i), 1.0) for i in range(5)]
    bars.write([batch([*rows, ("VCB", "5m", minute_ms(0), 1.0)])])
    latest = list(bars.latest_bars(("1m", "1d"), 3))
    assert {series.interval for one in latest for series in one.series} == {"1m", "1d"}
    assert [time for time, _, _ in rows_of(latest, "VCB", "1d")] == [day_ms(i) for i in (-2, -1, 0)]


def test_latest_bars_reach_back_over_closed_days(bars: BarStore) -> None:
    long_ago = [("SHS", "1m", minute_ms(i) - 200 * 86_400_000, float(i + 2)) for i in range(10)]
    bars.write([batch(long_ago + minutes("SHS", 0, 5) + minutes("VCB", 0, 20))])
    latest = list(bars.latest_bars(("1m",), 12))
    assert len(rows_of(latest, "SHS")) == 12
    times = [time for time, _, _ in rows_of(latest, "SHS")]
    assert times == sorted(times)
    assert times[7:] == [minute_ms(i) for i in range(5)]


def test_latest_bars_of_a_symbol_that_ceased_trading_are_found(bars: BarStore) -> None:
    gone = [("OLD", "1m", minute_ms(i) - 400 * 86_400_000, float(i + 2)) for i in range(5)]
    bars.write([batch(gone + minutes("VCB", 0, 20))])
    assert len(rows_of(list(bars.latest_bars(("1m",), 10)), "OLD")) == 5


def test_latest_bars_that_did_not_come_from_kafka_are_a_batch_of_their_own_and_come_first(
    bars: BarStore,
) -> None:
    history = [("VCB", "1d", day_ms(-i), 10.0 + i) for i in range(1, 30)]
    bars.write([batch(history, partition=-1)])
    bars.write([batch([("VCB", "1d", day_ms(0), 9.0)], partition=4, start=17)])
    direct, from_kafka = bars.latest_bars(("1d",), 20)
    assert (direct.topic, direct.partition, set(direct.offsets.tolist())) == ("", -1, {-1})
    assert (from_kafka.topic, from_kafka.partition, from_kafka.offsets.tolist()) == ("prices", 4, [17])
    assert len(direct) == 19
    assert direct.time_ms[-1] == day_ms(-1)


def test_latest_bars_of_several_partitions_come_by_partition(bars: BarStore) -> None:
    bars.write([batch(minutes("VCB", 0, 3), partition=5), batch(minutes("FPT", 0, 3), partition=1)])
    assert [(b.partition, b.series) for b in bars.latest_bars(("1m",), 3)] == [
        (1, [Series("FPT", "1m")]),
        (5, [Series("VCB", "1m")]),
    ]


def test_more_symbols_than_one_query_holds(bars: BarStore) -> None:
    symbols = [f"S{i:03d}" for i in range(450)]
    bars.write([batch([row for symbol in symbols for row in minutes(symbol, 0, 2)])])
    latest = list(bars.latest_bars(("1m",), 2))
    assert sorted(series.symbol for one in latest for series in one.series) == symbols
    assert sum(map(len, latest)) == 900


def test_indexes_can_be_made_again(bars: BarStore) -> None:
    bars.ensure_indexes()
    bars.ensure_indexes()
