from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.batches import BarBatch, Series
from vnpulse.technical import kernel
from vnpulse.technical.engine import FIRST_CAPACITY, TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

SMALL = TechnicalSettings(history_bars=64)
NEW, REPLACED, CONFIRMED = kernel.NEW, kernel.REPLACED, kernel.CONFIRMED
DUPLICATE, LATE, IGNORED = kernel.DUPLICATE, kernel.LATE, kernel.IGNORED


def _last(engine: TechnicalEngine, symbol: str, interval: str = "1m") -> dict[str, float]:
    number = engine.numbers[symbol, interval]
    row = engine.outputs[number, engine.last_slot(number)]
    return dict(zip(engine.output_names, row.tolist(), strict=True))


def _cut(batch: BarBatch, sizes: list[int]) -> list[BarBatch]:
    """Cut a batch into pieces of ``sizes``, again and again, each with only the series it needs."""
    pieces = []
    begin = turn = 0
    while begin < len(batch):
        part = slice(begin, begin + sizes[turn % len(sizes)])
        used, codes = np.unique(batch.codes[part], return_inverse=True)
        pieces.append(
            BarBatch(
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
        )
        begin += sizes[turn % len(sizes)]
        turn += 1
    return pieces


def test_every_output_equals_talib_beyond_the_ring(log: Any, walk: Any) -> None:
    engine = TechnicalEngine(SMALL)
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
        "rsi_14_change_3": rsi - np.roll(rsi, 3),
        "bb_20_2_upper": upper,
        "bb_20_2_middle": middle,
        "bb_20_2_lower": lower,
        "atr_14": talib.ATR(high, low, close, 14),
    }
    number = engine.numbers["FPT", "1m"]
    held = np.arange(len(bars) - 64, len(bars))
    for name, values in expected.items():
        column = engine.outputs[number, held % 64, engine.output_names.index(name)]
        np.testing.assert_allclose(column, values[held], rtol=1e-9, atol=1e-9, err_msg=name)
    assert engine.output_names[-1] == "activity_20"


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    edits=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from("rcdlo"), st.integers(-3, 3)), max_size=30
    ),
)
def test_batches_of_any_size_give_the_same_state(
    log: Any, walk: Any, snapshot: Any, seed: int, sizes: list[int], edits: list[tuple[int, str, int]]
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
            "o": bar._replace(closed=False),
        }[kind]
        if kind == "o":
            bars[at] = changed
        else:
            bars.insert(at + 1, changed)
    batch = log().batch(bars)
    whole, single, pieces = TechnicalEngine(SMALL), TechnicalEngine(SMALL), TechnicalEngine(SMALL)
    status = whole.apply(batch)
    assert [code for one in _cut(batch, [1]) for code in single.apply(one)] == status.tolist()
    assert [code for one in _cut(batch, sizes) for code in pieces.apply(one)] == status.tolist()
    assert snapshot(whole) == snapshot(single) == snapshot(pieces)
    assert whole.totals.tolist() == pieces.totals.tolist() == np.bincount(status, minlength=6).tolist()


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    minutes=st.integers(1, 150),
    closes=st.lists(st.floats(1, 99), min_size=1, max_size=30),
)
def test_replacing_the_last_bar_often_is_the_final_one_only(
    log: Any, bar: Any, walk: Any, seed: int, minutes: int, closes: list[float]
) -> None:
    before = walk(seed, minutes, ["FPT"])
    final = bar("FPT", minutes, 42.05, closed=True)
    once, often = TechnicalEngine(SMALL), TechnicalEngine(SMALL)
    once.apply(log().batch([*before, final]))
    often.apply(log().batch([*before, *(bar("FPT", minutes, c, closed=False) for c in closes), final]))
    after = [b._replace(minute=b.minute + minutes + 1) for b in walk(seed + 1, 30, ["FPT"])]
    for engine in (once, often):
        engine.apply(log().batch(after))
    assert once.outputs.tobytes() == often.outputs.tobytes()
    assert once._memory.tobytes() == often._memory.tobytes()


def test_what_becomes_of_each_record(log: Any, bar: Any) -> None:
    engine = TechnicalEngine(SMALL)
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
        (bar("FPT", 0, 20.1, closed=True), LATE),
        (bar("FPT", 1, 20.3, closed=True), LATE),
        (bar("FPT", 2, 20.3, closed=True, volume=1.0), REPLACED),
        (bar("FPT", 2, 20.3, interval="1h"), IGNORED),
    ]
    status = engine.apply(log().batch([one for one, _ in script]))
    assert status.tolist() == [expected for _, expected in script]
    assert ("FPT", "1h") not in engine.numbers


def test_duplicates_and_late_records_change_nothing(log: Any, bar: Any, walk: Any, snapshot: Any) -> None:
    engine = TechnicalEngine(SMALL)
    bars = walk(3, 100)
    engine.apply(log().batch(bars))
    before = snapshot(engine)
    status = engine.apply(log(next_offset=5_000).batch([*bars, bar("FPT", 40, 1.0), bar("HPG", -5, 9.0)]))
    assert set(status.tolist()) <= {DUPLICATE, LATE}
    assert status[-1] == status[-2] == LATE
    assert snapshot(engine) == before


def test_a_confirmed_bar_takes_the_place_in_the_log_of_the_record_that_closed_it(log: Any, bar: Any) -> None:
    engine = TechnicalEngine(SMALL)
    engine.apply(log().batch([bar("FPT", 0, 20.0, closed=False), bar("FPT", 0, 20.0, closed=True)]))
    marks = engine.marks[0, 0]
    assert marks[kernel.OFFSET] == marks[kernel.FINAL_OFFSET] == 1
    assert marks[kernel.CLOSED] == 1


def test_rows_are_found_by_the_record_that_made_them_final(log: Any, bar: Any) -> None:
    engine = TechnicalEngine(SMALL)
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
    log: Any, walk: Any, seed: int, first: int, length: int
) -> None:
    engine = TechnicalEngine(SMALL)
    rng = np.random.default_rng(seed)
    engine.apply(log().batch([b._replace(closed=bool(rng.random() < 0.6)) for b in walk(seed, 150)]))
    for number in range(3):
        rows, beyond = engine.final_rows([(number, 0, first, first + length)])
        order = np.arange(max(0, engine.seen[number] - 64), engine.seen[number]) % 64
        final = engine.marks[number, order, kernel.FINAL_OFFSET]
        assert rows[:, 1].tolist() == order[(final >= first) & (final <= first + length)].tolist()
        assert beyond == (engine.seen[number] > 64 and final[final >= 0].min() >= first)


def test_the_ring_holds_the_last_bars_in_their_slots(log: Any, walk: Any) -> None:
    engine = TechnicalEngine(SMALL)
    bars = walk(5, 200, ["FPT"])
    engine.apply(log().batch(bars))
    assert engine.seen[0] == len(bars)
    for back in range(64):
        row = len(bars) - 1 - back
        assert engine.closes[0, row % 64] == engine.bars[0, row % 64, kernel.CLOSE] == bars[row].close
        assert engine.marks[0, row % 64, kernel.OFFSET] == row
    rows = engine.rows_before(
        np.array([0, 0, -1]), np.array([engine.marks[0, engine.last_slot(0), 0], 0, 10**15])
    )
    assert rows.tolist() == [(len(bars) - 2) % 64, -1, -1]


def test_many_new_series_grow_the_arrays_without_touching_the_old(log: Any, bar: Any, walk: Any) -> None:
    names = [f"S{i}" for i in range(3 * FIRST_CAPACITY)]
    grown, roomy = TechnicalEngine(SMALL), TechnicalEngine(SMALL)
    early, crowd, later = walk(6, 100), [bar(n, 0, 10.0 + i) for i, n in enumerate(names)], walk(7, 200)[300:]
    roomy._allocate(1_024)
    for engine in (grown, roomy):
        stream = log()
        for bars in (early, crowd, later):
            engine.apply(stream.batch(bars))
    assert len(grown.seen) >= len(names) + 3 > FIRST_CAPACITY
    used = len(grown.series)
    assert grown.outputs[:used].tobytes() == roomy.outputs[:used].tobytes()
    assert _last(grown, "FPT") == _last(roomy, "FPT")


def test_a_series_without_a_row_gets_no_state(log: Any, bar: Any) -> None:
    engine = TechnicalEngine(SMALL)
    batch = log().batch([bar("FPT", 0, 20.0)])
    batch.series.append(Series("NOPE", "1m"))
    engine.apply(batch)
    assert list(engine.numbers) == [("FPT", "1m")]


def test_a_flat_series_is_neutral(log: Any, bar: Any) -> None:
    engine = TechnicalEngine(SMALL)
    engine.apply(log().batch([bar("FPT", minute, 20.0, spread=0.0) for minute in range(60)]))
    last = _last(engine, "FPT")
    assert last["rsi_14"] == 50.0
    assert last["atr_14"] == last["macd_12_26_9_hist"] == last["activity_20"] == 0.0
    assert last["bb_20_2_upper"] == last["bb_20_2_lower"] == last["sma_20"] == 20.0


@pytest.mark.parametrize("bars", [0, 1])
def test_empty_and_single_row_batches(log: Any, bar: Any, bars: int) -> None:
    engine = TechnicalEngine(SMALL)
    assert engine.apply(log().batch([bar("FPT", 0, 20.0)][:bars], hole=3)).tolist() == [NEW] * bars
    assert all(np.isnan(value) for value in (_last(engine, "FPT").values() if bars else ()))
