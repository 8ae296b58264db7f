from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.batches import BarBatch, Series
from vnpulse.indicators.catalogue import every_indicator
from vnpulse.indicators.columns import CLOSE, TIME, VOLUME
from vnpulse.technical import layout
from vnpulse.technical.engine import FIRST_CAPACITY, TechnicalEngine

NEW, REPLACED, CONFIRMED, MERGED = layout.NEW, layout.REPLACED, layout.CONFIRMED, layout.MERGED
DUPLICATE, LATE, AUCTION, IGNORED = layout.DUPLICATE, layout.LATE, layout.AUCTION, layout.IGNORED
CODES = len(layout.STATUS_NAMES)


def _last(engine: TechnicalEngine, symbol: str, interval: str = "1m") -> dict[str, float]:
    number = engine.numbers[symbol, interval]
    row = engine.outputs[number, engine.rows(number) - 1]
    return dict(zip(engine.indicators.output_names, row.tolist(), strict=True))


def _part(batch: BarBatch, begin: int, end: int) -> BarBatch:
    """Return rows of a batch as one of its own, with only the series that it needs."""
    part = slice(begin, end)
    used, codes = np.unique(batch.codes[part], return_inverse=True)
    return BarBatch(
        batch.topic,
        batch.partition,
        int(batch.offsets[part][0]),
        int(batch.offsets[part][-1]) + 1,
        [batch.series[code] for code in used],
        codes.astype(np.int32),
        batch.time_ms[part],
        batch.prices[part],
        batch.volume[part],
        batch.closed[part],
        batch.offsets[part],
        batch.append_ms[part],
    )


def _cut(batch: BarBatch, sizes: list[int]) -> list[BarBatch]:
    """Cut a batch into pieces of ``sizes``, again and again."""
    pieces = []
    begin = turn = 0
    while begin < len(batch):
        pieces.append(_part(batch, begin, begin + sizes[turn % len(sizes)]))
        begin += sizes[turn % len(sizes)]
        turn += 1
    return pieces


def test_every_output_equals_talib_beyond_the_history(engine_of: Any, log: Any, walk: Any) -> None:
    engine = engine_of()
    bars = [b for b in walk(1, 500) if b.symbol == "FPT"]
    engine.apply(log().batch(bars))
    close = np.array([b.close for b in bars])
    high, low = close + 0.1, close - 0.1
    macd, signal, hist = talib.MACD(close)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    rsi = talib.RSI(close, 14)
    expected = {
        "sma_20": talib.SMA(close, 20),
        "ema_12": talib.EMA(close, 12),
        "macd_12_26_9": macd,
        "macd_12_26_9_signal": signal,
        "macd_12_26_9_hist": hist,
        "rsi_14": rsi,
        "bb_20_2_upper": upper,
        "bb_20_2_middle": middle,
        "bb_20_2_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
    }
    number = engine.numbers["FPT", "1m"]
    rows = engine.rows(number)
    assert 64 <= rows < len(bars)
    for name, values in expected.items():
        column = engine.outputs[number, :rows, engine.indicators.output_names.index(name)]
        np.testing.assert_allclose(column, values[-rows:], rtol=1e-9, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    late_bars=st.sampled_from([1, 7, 32]),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    edits=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from("rcdlLo"), st.integers(-3, 3)), max_size=30
    ),
)
def test_batches_of_any_size_give_the_same_state(
    engine_of: Any,
    log: Any,
    walk: Any,
    snapshot: Any,
    seed: int,
    late_bars: int,
    sizes: list[int],
    edits: list[tuple[int, str, int]],
) -> None:
    bars = walk(seed, 90)
    for at, kind, ticks in edits:
        at %= len(bars)
        bar = bars[at]
        changed = {
            "r": bar._replace(close=max(bar.close + 0.05 * ticks, 1.0)),
            "c": bar._replace(volume=bar.volume + 100),
            "d": bar,
            "l": bar._replace(minute=max(bar.minute - 5, 0)),
            "L": bar._replace(minute=max(bar.minute - 40, 0), close=bar.close + 0.05 * ticks + 1),
            "o": bar._replace(closed=False),
        }[kind]
        if kind == "o":
            bars[at] = changed
        else:
            bars.insert(at + 1, changed)
    batch = log().batch(bars)
    whole, single, pieces = (engine_of(late_bars=late_bars, resample=("5m", "1h")) for _ in range(3))
    status = whole.apply(batch)
    assert [code for one in _cut(batch, [1]) for code in single.apply(one)] == status.tolist()
    assert [code for one in _cut(batch, sizes) for code in pieces.apply(one)] == status.tolist()
    assert snapshot(whole) == snapshot(single) == snapshot(pieces)
    assert whole.totals.tolist() == pieces.totals.tolist() == np.bincount(status, minlength=CODES).tolist()


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    history_bars=st.sampled_from([64, 300]),
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=3),
    again=st.lists(st.tuples(st.integers(0, 899), st.integers(0, 500)), max_size=3),
)
def test_of_a_history_longer_than_the_room_the_same_rows_are_held_however_it_comes(
    engine_of: Any,
    log: Any,
    walk: Any,
    seed: int,
    history_bars: int,
    sizes: list[int],
    again: list[tuple[int, int]],
) -> None:
    bars = walk(seed, 1_000, ["FPT"])[:900]
    for at, back in again:
        bars.insert(at, bars[max(at - back, 0)]._replace(closed=bool(back % 2)))
    batch = log().batch(bars)
    single, pieces = (engine_of(late_bars=1, history_bars=history_bars) for _ in range(2))
    status = [code for one in _cut(batch, [1]) for code in single.apply(one)]
    assert [code for one in _cut(batch, sizes) for code in pieces.apply(one)] == status
    assert single.counts[0, layout.DROPPED] > 0
    rows = single.rows(0)
    for name, held in (("bars", np.s_[:, :rows]), ("marks", np.s_[:rows]), ("outputs", np.s_[:rows])):
        assert getattr(single, name)[0][held].tobytes() == getattr(pieces, name)[0][held].tobytes()
    assert single.counts.tolist() == pieces.counts.tolist()


def test_of_a_history_in_short_pieces_indicators_wait_until_somebody_reads(
    engine_of: Any, log: Any, walk: Any, snapshot: Any
) -> None:
    bars = walk(8, 60)
    # One that is missing comes late, and the last of a piece comes again with another price.
    bars.insert(100, bars.pop(70))
    bars.insert(60, bars[59]._replace(close=31.7))
    batch = log().batch(bars)
    single, pieces = (engine_of(resample=("5m",)) for _ in range(2))
    for one in _cut(batch, [1]):
        single.apply(one)
    for one in _cut(batch, [60]):
        pieces.apply(one)
    assert (pieces.counts[: len(pieces.series), layout.DIRTY] != layout.NOTHING).all()
    assert (single.counts[:, layout.DIRTY] == layout.NOTHING).all()
    restored = engine_of(resample=("5m",))
    restored.restore(pieces.snapshot())
    assert (pieces.counts[:, layout.DIRTY] == layout.NOTHING).all()
    assert snapshot(single) == snapshot(pieces) == snapshot(restored)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    cuts=st.lists(st.integers(1, 240), min_size=1, max_size=3),
    forming=st.booleans(),
    late=st.integers(0, 9),
)
def test_through_a_snapshot_in_the_middle_the_numbers_stay_the_same(
    engine_of: Any,
    log: Any,
    walk: Any,
    snapshot: Any,
    seed: int,
    cuts: list[int],
    forming: bool,
    late: int,
) -> None:
    def new_engine() -> TechnicalEngine:
        return engine_of(late_bars=8, resample=("5m", "1h"), indicators=tuple(map(str, every_indicator())))

    bars = walk(seed, 90)
    cuts = [min(cut, len(bars) - 1) for cut in cuts]
    for cut in cuts:
        # The bar before the cut still forms, and one after it belongs before it.
        bars[cut - 1] = bars[cut - 1]._replace(closed=not forming)
        bars.insert(cut + 1, bars[max(cut - 3 * late, 0)]._replace(close=31.7))
    batch = log().batch(bars)
    uninterrupted, engine = new_engine(), new_engine()
    status = uninterrupted.apply(batch).tolist()
    found: list[int] = []
    for begin, end in pairwise([0, *sorted(set(cuts)), len(bars)]):
        found += engine.apply(_part(batch, begin, end)).tolist()
        carried = pickle.dumps(engine.snapshot())
        engine = new_engine()
        engine.restore(pickle.loads(carried))
    assert found == status
    assert snapshot(engine) == snapshot(uninterrupted)
    assert engine.totals.tolist() == uninterrupted.totals.tolist()


def test_a_snapshot_is_a_copy_and_fits_engines_of_any_room(
    engine_of: Any, log: Any, bar: Any, walk: Any, snapshot: Any
) -> None:
    stream = log()
    engine = engine_of()
    symbols = [f"S{i}" for i in range(FIRST_CAPACITY + 9)]
    engine.apply(stream.batch([bar(symbol, 0, 20.0) for symbol in symbols]))
    taken, before = engine.snapshot(), snapshot(engine)
    engine.apply(stream.batch(walk(1, 60)))
    restored = engine_of()
    restored.restore(taken)
    assert snapshot(restored) == before
    restored.apply(stream.written[-1])
    assert snapshot(restored) == snapshot(engine)


def test_a_snapshot_is_taken_only_by_an_empty_engine_of_the_same_settings(
    engine_of: Any, log: Any, walk: Any
) -> None:
    engine = engine_of()
    engine.apply(log().batch(walk(1, 5)))
    with pytest.raises(ValueError, match=r"snapshot is of settings \w{8}, these are"):
        engine_of(late_bars=9).restore(engine.snapshot())
    with pytest.raises(ValueError, match="has seen no bar"):
        engine.restore(engine.snapshot())


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    minutes=st.integers(1, 150),
    closes=st.lists(st.floats(1, 99), min_size=1, max_size=30),
)
def test_replacing_the_last_bar_often_is_the_final_one_only(
    engine_of: Any, log: Any, bar: Any, walk: Any, seed: int, minutes: int, closes: list[float]
) -> None:
    before = walk(seed, minutes, ["FPT"])
    final = bar("FPT", minutes, 42.05, closed=True)
    once, often = engine_of(), engine_of()
    once.apply(log().batch([*before, final]))
    often.apply(log().batch([*before, *(bar("FPT", minutes, c, closed=False) for c in closes), final]))
    after = [b._replace(minute=b.minute + minutes + 1) for b in walk(seed + 1, 30, ["FPT"])]
    for engine in (once, often):
        engine.apply(log().batch(after))
    assert once.outputs.tobytes() == often.outputs.tobytes()
    assert once._memory[:, layout.HEAD].tobytes() == often._memory[:, layout.HEAD].tobytes()


def test_what_becomes_of_each_record(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of()
    script = [
        (bar("FPT", 0, 20.0, closed=False), NEW),
        (bar("FPT", 0, 20.0, closed=False), DUPLICATE),
        (bar("FPT", 0, 20.1, closed=False), REPLACED),
        (bar("FPT", 0, 20.1, closed=True), CONFIRMED),
        (bar("FPT", 0, 20.1, closed=True), DUPLICATE),
        (bar("FPT", 0, 20.1, closed=False), DUPLICATE),
        (bar("FPT", 0, 20.0, closed=False), REPLACED),
        (bar("FPT", 0, 20.2, closed=True), REPLACED),
        (bar("FPT", 2, 20.3, closed=True), NEW),
        (bar("FPT", 0, 20.2, closed=True), DUPLICATE),
        (bar("FPT", 0, 20.1, closed=True), MERGED),
        (bar("FPT", 0, 20.1, closed=True), DUPLICATE),
        (bar("FPT", 1, 20.3, closed=True), MERGED),
        (bar("FPT", 2, 20.3, closed=True, volume=1.0), REPLACED),
        (bar("FPT", 2, 20.3, interval="1h"), IGNORED),
    ]
    status = engine.apply(log().batch([one for one, _ in script]))
    assert status.tolist() == [expected for _, expected in script]
    assert ("FPT", "1h") not in engine.numbers


def test_duplicates_and_late_records_change_nothing(
    engine_of: Any, log: Any, bar: Any, walk: Any, snapshot: Any
) -> None:
    engine = engine_of()
    bars = walk(3, 100)
    engine.apply(log().batch(bars))
    before = snapshot(engine)
    status = engine.apply(log(next_offset=5_000).batch([*bars, bar("FPT", 4, 1.0), bar("HPG", -5, 9.0)]))
    assert set(status.tolist()) <= {DUPLICATE, LATE}
    assert status[-1] == status[-2] == LATE
    assert snapshot(engine) == before


def test_a_confirmed_bar_takes_the_place_in_the_log_of_the_record_that_closed_it(
    engine_of: Any, log: Any, bar: Any
) -> None:
    engine = engine_of()
    engine.apply(log().batch([bar("FPT", 0, 20.0, closed=False), bar("FPT", 0, 20.0, closed=True)]))
    marks = engine.marks[0, 0]
    assert marks[layout.OFFSET] == marks[layout.FINAL_OFFSET] == 1
    assert marks[layout.CLOSED] == 1


def test_rows_are_found_by_the_record_that_made_them_final(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of()
    stream = log(partition=4)
    engine.apply(
        stream.batch(
            [
                bar("FPT", 0, 20.0, closed=False),  # 0: superseded, so final with record 2
                bar("HPG", 0, 30.0, closed=True),  # 1
                bar("FPT", 1, 20.1, closed=False),  # 2
                bar("FPT", 1, 20.2, closed=True),  # 3
                bar("FPT", 2, 20.3, closed=False),  # 4: not final
            ]
        )
    )
    fpt, hpg = engine.numbers["FPT", "1m"], engine.numbers["HPG", "1m"]

    def found(number: int, partition: int, first: int, last: int) -> list[list[int]]:
        rows, beyond = engine.final_rows([(number, partition, first, last)])
        assert beyond == 0
        return [[int(series), int(slot)] for series, slot in rows]

    assert found(fpt, 4, 0, 1) == []
    assert found(fpt, 4, 2, 2) == [[fpt, 0]]
    assert found(fpt, 4, 3, 3) == [[fpt, 1]]
    assert found(fpt, 4, 0, 9) == [[fpt, 0], [fpt, 1]]
    assert found(fpt, 3, 0, 9) == []
    assert found(hpg, 4, 0, 0) == []
    assert found(hpg, 4, 1, 1) == [[hpg, 0]]
    engine.apply(stream.batch([bar("FPT", 2, 20.3, closed=True), bar("FPT", 2, 20.5, closed=True)]))
    assert found(fpt, 4, 5, 5) == []  # Corrected at once: the bar lies at 6 now.
    assert found(fpt, 4, 6, 6) == [[fpt, 2]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), first=st.integers(0, 500), length=st.integers(0, 300))
def test_the_search_agrees_with_looking_at_every_row(
    engine_of: Any, log: Any, walk: Any, seed: int, first: int, length: int
) -> None:
    engine = engine_of()
    rng = np.random.default_rng(seed)
    engine.apply(log().batch([b._replace(closed=bool(rng.random() < 0.6)) for b in walk(seed, 150)]))
    for number in range(3):
        rows, beyond = engine.final_rows([(number, 0, first, first + length)])
        held = np.arange(max(0, engine.rows(number) - 64), engine.rows(number))
        final = engine.marks[number, held, layout.FINAL_OFFSET]
        assert rows[:, 1].tolist() == held[(final >= first) & (final <= first + length)].tolist()
        assert beyond == (engine.counts[number, layout.SEEN] > 64 and final[final >= 0].min() >= first)


def test_the_history_holds_the_last_bars(engine_of: Any, log: Any, walk: Any) -> None:
    engine = engine_of(late_bars=1)
    bars = walk(5, 600, ["FPT"])
    engine.apply(log().batch(bars))
    assert engine.counts[0, layout.SEEN] == len(bars)
    assert engine.counts[0, layout.DROPPED] > 0
    rows = engine.rows(0)
    for back in range(64):
        assert engine.bars[0, CLOSE, rows - 1 - back] == bars[-1 - back].close
        assert engine.marks[0, rows - 1 - back, layout.OFFSET] == len(bars) - 1 - back
    last_ms = engine.marks[0, rows - 1, layout.TIME_MS]
    found = engine.rows_before(np.array([0, 0, -1]), np.array([last_ms, 0, 10**15]))
    assert found.tolist() == [rows - 2, -1, -1]


def test_many_new_series_grow_the_arrays_without_touching_the_old(
    engine_of: Any, log: Any, bar: Any, walk: Any
) -> None:
    names = [f"S{i}" for i in range(3 * FIRST_CAPACITY)]
    grown, roomy = engine_of(), engine_of()
    early, crowd, later = walk(6, 100), [bar(n, 0, 10.0 + i) for i, n in enumerate(names)], walk(7, 200)[300:]
    roomy._allocate(1_024)
    roomy._grow_memory(0, 1_024)
    for engine in (grown, roomy):
        stream = log()
        for bars in (early, crowd, later):
            engine.apply(stream.batch(bars))
    assert len(grown.counts) >= len(names) + 3 > FIRST_CAPACITY
    used = len(grown.series)
    assert grown.outputs[:used].tobytes() == roomy.outputs[:used].tobytes()
    assert _last(grown, "FPT") == _last(roomy, "FPT")


def test_a_series_without_a_row_gets_no_state(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of()
    batch = log().batch([bar("FPT", 0, 20.0)])
    batch.series.append(Series("NOPE", "1m"))
    engine.apply(batch)
    assert list(engine.numbers) == [("FPT", "1m")]


def test_a_flat_series_is_neutral(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of()
    engine.apply(log().batch([bar("FPT", minute, 20.0, spread=0.0) for minute in range(60)]))
    last = _last(engine, "FPT")
    assert last["rsi_14"] == 50.0
    assert last["atr_14"] == last["macd_12_26_9_hist"] == last["activity_20"] == 0.0
    assert last["bb_20_2_upper"] == last["bb_20_2_lower"] == last["sma_20"] == 20.0


@pytest.mark.parametrize("bars", [0, 1])
def test_empty_and_single_row_batches(engine_of: Any, log: Any, bar: Any, bars: int) -> None:
    engine = engine_of()
    assert engine.apply(log().batch([bar("FPT", 0, 20.0)][:bars], hole=3)).tolist() == [NEW] * bars
    if bars:
        ready = {name for name, value in _last(engine, "FPT").items() if not np.isnan(value)}
        assert ready == {"vwap", "vwap_distance"}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), moved=st.lists(st.integers(0, 500), min_size=1, max_size=12))
def test_late_bars_end_where_a_log_in_order_does(
    engine_of: Any, log: Any, walk: Any, seed: int, moved: list[int]
) -> None:
    bars = walk(seed, 150, ["FPT"])
    late = list(bars)
    for at in moved:
        bar = late.pop(at % len(late))
        late.insert(at % len(late) + 20, bar)
    ordered, shuffled = engine_of(late_bars=64, history_bars=400), engine_of(late_bars=64, history_bars=400)
    ordered.apply(log().batch(bars))
    for one in _cut(log().batch(late), [7]):
        shuffled.apply(one)
    if shuffled.totals[LATE] == 0:
        assert ordered.bars.tobytes() == shuffled.bars.tobytes()
        assert ordered.outputs.tobytes() == shuffled.outputs.tobytes()


def test_a_bar_later_than_the_horizon_is_counted_only(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of(late_bars=10)
    stream = log()
    engine.apply(stream.batch([bar("FPT", minute, 20.0) for minute in range(0, 60, 2)]))
    before = engine.bars.tobytes()
    assert engine.apply(stream.batch([bar("FPT", 37, 20.0)])).tolist() == [LATE]
    assert engine.bars.tobytes() == before
    assert engine.apply(stream.batch([bar("FPT", 39, 20.0), bar("FPT", 40, 21.0)])).tolist() == [MERGED] * 2
    assert engine.bars[0, CLOSE, 20:22].tolist() == [20.0, 21.0]


def test_a_merged_bar_is_found_by_its_own_record(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of()
    engine.apply(log().batch([bar("FPT", m, 20.0) for m in (0, 1, 3, 4)]))
    engine.apply(log(next_offset=4).batch([bar("FPT", 2, 20.0, closed=False)]))
    rows, _ = engine.final_rows([(0, 0, 4, 9)])
    assert rows.tolist() == [[0, 2]]
    rows, _ = engine.final_rows([(0, 0, 2, 3)])
    assert rows.tolist() == [[0, 3], [0, 4]]


def _at(clock: str, day: int = 0) -> int:
    hours, minutes = map(int, clock.split(":"))
    return 1_753_635_600_000 + day * 86_400_000 + (hours * 60 + minutes) * 60_000


def _held(engine: TechnicalEngine, symbol: str, interval: str) -> list[tuple[str, list[float], int]]:
    number = engine.numbers[symbol, interval]
    rows = engine.rows(number)
    days = (engine.bars[number, TIME, :rows] - _at("00:00")) / 60_000
    return [
        (
            f"{int(m % 1440 // 60):02}:{int(m % 60):02}",
            engine.bars[number, : VOLUME + 1, i].tolist(),
            int(engine.marks[number, i, layout.CLOSED]),
        )
        for i, m in enumerate(days)
    ]


def test_longer_bars_are_made_on_the_sessions_of_the_exchange(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of({"FPT": "HOSE"}, resample=("5m", "1h"))
    clocks = ["09:15", "09:16", "09:21", "11:29", "13:00", "13:04", "14:29", "14:45"]
    bars = [
        bar("FPT", 0, 20.0 + i, time_ms=_at(clock), volume=10.0, spread=0.5) for i, clock in enumerate(clocks)
    ]
    engine.apply(log().batch(bars))
    assert _held(engine, "FPT", "1h") == [
        ("09:00", [20.0, 22.5, 19.5, 22.0, 30.0], 0),
        ("11:00", [23.0, 23.5, 22.5, 23.0, 10.0], 0),
        ("13:00", [24.0, 25.5, 23.5, 25.0, 20.0], 0),
        # The print of the closing auction ends the day.
        ("14:00", [26.0, 27.5, 25.5, 27.0, 20.0], 1),
    ]
    five = _held(engine, "FPT", "5m")
    assert [(clock, closed) for clock, _, closed in five] == [
        ("09:15", 0), ("09:20", 0), ("11:25", 1), ("13:00", 1), ("14:25", 1), ("14:45", 1)
    ]  # fmt: skip
    assert five[0][1] == [20.0, 21.5, 19.5, 21.0, 20.0]


def test_longer_bars_are_final_with_the_record_that_ends_them(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of(resample=("5m",))
    stream = log()
    engine.apply(stream.batch([bar("FPT", minute, 20.0) for minute in (0, 1, 2, 3, 4, 5, 7, 12, 11)]))
    number = engine.numbers["FPT", "5m"]
    rows, _ = engine.final_rows([(number, 0, 4, 4)])
    assert rows.tolist() == [[number, 0]]
    # The second ended without a trade in its last minute, so it waited for the third to begin.
    rows, _ = engine.final_rows([(number, 0, 5, 7)])
    assert rows.tolist() == [[number, 1]]
    assert engine.bars[number, VOLUME, :3].tolist() == [500.0, 200.0, 200.0]


def test_a_longer_interval_that_is_made_here_is_not_taken_from_the_topic(
    engine_of: Any, log: Any, bar: Any
) -> None:
    engine = engine_of(resample=("5m",))
    status = engine.apply(log().batch([bar("FPT", 0, 20.0), bar("FPT", 0, 99.0, interval="5m")]))
    assert status.tolist() == [NEW, IGNORED]
    assert engine.bars[engine.numbers["FPT", "5m"], CLOSE, 0] == 20.0


def test_nothing_is_computed_from_the_opening_auction(engine_of: Any, log: Any, bar: Any) -> None:
    engine = engine_of({"FPT": "HOSE", "SHS": "HNX", "VNINDEX": "HOSE"})
    at = {"time_ms": _at("09:14")}
    batch = [bar(symbol, 0, 20.0, **at) for symbol in ("FPT", "SHS", "VNINDEX", "XYZ")]
    batch += [bar("FPT", 0, 20.0, time_ms=_at("09:15")), bar("FPT", 0, 20.0, interval="1d", **at)]
    assert engine.apply(log().batch(batch)).tolist() == [AUCTION, NEW, NEW, NEW, NEW, NEW]
