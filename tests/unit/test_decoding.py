"""A bad record gets its reason; the good ones around it survive with their offsets."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.batches import PartitionBatch, Series
from vnpulse.decoding import FUTURE_TOLERANCE_MS, decode_bars, decode_each, decode_news
from vnpulse.messages import VIETNAM, NewsItem, PriceBar, encode

NINE = dt.datetime(2025, 7, 28, 9, 0, tzinfo=VIETNAM)
NOW = dt.datetime(2025, 7, 28, 12, 0, tzinfo=VIETNAM)
NOW_MS = int(NOW.timestamp() * 1000)
START = 5_000


def bar(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "symbol": "VCB",
        "time": "2025-07-28T09:15:00+07:00",
        "open": 85.5,
        "high": 86.2,
        "low": 85.0,
        "close": 86.0,
        "volume": 1_250_000,
        "collected_at": "2025-07-28T09:15:30.123456",
    }
    return json.dumps({name: v for name, v in (fields | changes).items() if v is not ...}).encode()


def article(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "news_id": "n1",
        "symbol": "VCB",
        "title": "VCB tăng vốn",
        "content": "",
        "source": "VnExpress",
        "source_url": "https://x",
        "published_at": "2025-07-28T08:30:00+07:00",
        "collected_at": "2025-07-28T09:00:00+07:00",
    }
    return json.dumps({name: v for name, v in (fields | changes).items() if v is not ...}).encode()


def batch(values: list[bytes | None], stride: int = 1) -> PartitionBatch:
    n = len(values)
    offsets = START + stride * np.arange(n, dtype=np.int64)
    return PartitionBatch(
        topic="stock_prices_raw",
        partition=3,
        start_offset=START - 2,
        next_offset=START + stride * n,
        values=values,
        keys=[b"VCB"] * n,
        offsets=offsets,
        timestamps=offsets + 7,
    )


def raw(text: str) -> bytes:
    """A bar with ``text`` in place of its opening price."""
    return bar(open="@").replace(b'"@"', text.encode())


GARBAGE = b"\x93" + random.Random(7).randbytes(1_048_576)

BAD_BARS = [
    pytest.param(None, "null-value", id="no value"),
    pytest.param(b"", "not-json", id="empty value"),
    pytest.param(b"hello", "not-json", id="text"),
    pytest.param(b'{"symbol": "VCB"', "not-json", id="cut short"),
    pytest.param(bar() + b"x", "not-json", id="something after the end"),
    pytest.param(GARBAGE, "not-json", id="a megabyte of garbage"),
    pytest.param(b"\x00" * 1_048_576, "not-json", id="a megabyte of zeros"),
    pytest.param(b"\xff\xfe{}", "not-json", id="not UTF-8"),
    pytest.param(bar().replace(b"VCB", b"\xffCB"), "not-json", id="not UTF-8 in a field"),
    pytest.param(bar().replace(b"VCB", b"V\\ud800B"), "not-json", id="half a surrogate pair"),
    pytest.param(bar().decode().encode("utf-16"), "not-json", id="UTF-16"),
    pytest.param(b"[" * 100_000, "wrong-type", id="deep arrays"),
    pytest.param(b'{"a":' * 100_000, "not-json", id="deep objects"),
    pytest.param(bar(extra="@").replace(b'"@"', b"[" * 9_999 + b"]" * 9_999), "not-json", id="deep extra"),
    pytest.param(raw("NaN"), "not-json", id="NaN"),
    pytest.param(raw("Infinity"), "not-json", id="Infinity"),
    pytest.param(raw("-Infinity"), "not-json", id="-Infinity"),
    pytest.param(raw("1e999"), "wrong-type", id="beyond a double"),
    pytest.param(raw("9" * 5_000), "wrong-type", id="an integer of 5,000 digits"),
    pytest.param(b"null", "wrong-type", id="null"),
    pytest.param(b"[]", "wrong-type", id="an array"),
    pytest.param(b"17", "wrong-type", id="a number"),
    pytest.param(bar(open="85.5"), "wrong-type", id="price as text"),
    pytest.param(bar(open=None), "wrong-type", id="price null"),
    pytest.param(bar(open=True), "wrong-type", id="price true"),
    pytest.param(bar(symbol=5), "wrong-type", id="symbol a number"),
    pytest.param(bar(time=1_753_668_900), "wrong-type", id="time a number"),
    pytest.param(bar(time="yesterday"), "wrong-type", id="time a word"),
    pytest.param(bar(time="2025-07-28T09:15:00"), "wrong-type", id="time without zone"),
    pytest.param(bar(time="2025-02-30T09:15:00+07:00"), "wrong-type", id="30 February"),
    pytest.param(bar(interval="2m"), "wrong-type", id="unknown interval"),
    pytest.param(bar(collected_at=None), "wrong-type", id="collected_at null"),
    *(
        pytest.param(bar(**{name: ...}), "missing-field", id=f"no {name}")
        for name in ("symbol", "time", "open", "high", "low", "close", "volume", "collected_at")
    ),
    pytest.param(b"{}", "missing-field", id="an empty object"),
    pytest.param(bar(symbol=""), "bad-symbol", id="empty symbol"),
    pytest.param(bar(symbol="vcb"), "bad-symbol", id="small letters"),
    pytest.param(bar(symbol="VCB\n"), "bad-symbol", id="a line feed after the symbol"),
    pytest.param(bar(symbol="V"), "bad-symbol", id="one letter"),
    pytest.param(bar(symbol="3AB"), "bad-symbol", id="digit first"),
    pytest.param(bar(symbol="VCB VN"), "bad-symbol", id="a blank inside"),
    pytest.param(bar(symbol="ＶＣＢ"), "bad-symbol", id="full-width letters"),
    pytest.param(bar(symbol="A" * 1_000_000), "bad-symbol", id="a symbol of a million letters"),
    pytest.param(bar(open=-85.5), "bad-price", id="negative price"),
    pytest.param(bar(low=0), "bad-price", id="zero price"),
    pytest.param(bar(open=0, high=0, low=0, close=0), "bad-price", id="all prices zero"),
    pytest.param(raw("1e-999"), "bad-price", id="a price that underflows to zero"),
    pytest.param(bar(high=84, low=86, open=85, close=85), "high-too-low", id="high below low"),
    pytest.param(bar(high=85.9), "high-too-low", id="high below close"),
    pytest.param(bar(low=85.6), "low-too-high", id="low above open"),
    pytest.param(bar(volume=-1), "bad-volume", id="negative volume"),
    pytest.param(bar(volume=0.5), "bad-volume", id="half a share"),
    pytest.param(bar(time="2025-07-28T12:03:00+07:00"), "time-in-future", id="time in the future"),
    pytest.param(bar(time="9999-12-31T23:59:59-12:00"), "time-in-future", id="the last moment there is"),
    pytest.param(bar(time="1999-12-31T09:15:00+07:00"), "time-too-old", id="before the exchange"),
    pytest.param(bar(time="0001-01-01T00:00:00+14:00"), "time-too-old", id="before the first moment"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_BARS)
def test_a_bad_bar_gets_its_reason_and_costs_no_good_one(bad: bytes | None, reason: str) -> None:
    bars, rejections = decode_bars(batch([bar(), bad, bar(symbol="FPT"), bad]), NOW_MS)
    assert [(r.row, r.reason) for r in rejections] == [(1, reason), (3, reason)]
    assert bars.offsets.tolist() == [START, START + 2]
    assert bars.append_ms.tolist() == [START + 7, START + 9]
    assert [bars.series[code] for code in bars.codes] == [Series("VCB", "1m"), Series("FPT", "1m")]
    assert (bars.partition, bars.start_offset, bars.next_offset) == (3, START - 2, START + 4)


@pytest.mark.parametrize(("bad", "reason"), BAD_BARS)
def test_a_rejection_says_in_few_words_what_is_wrong(bad: bytes | None, reason: str) -> None:
    [rejection] = decode_bars(batch([bad]), NOW_MS)[1]
    assert rejection.message
    assert len(rejection.message) < 500
    rejection.message.encode()


def test_a_record_with_several_mistakes_is_rejected_once() -> None:
    worst = bar(symbol="?", open=-1, high=0, low=9, volume=-3, time="1990-01-01T00:00:00Z")
    assert len(decode_bars(batch([worst]), NOW_MS)[1]) == 1


def test_a_batch_of_nothing_but_bad_records_still_covers_its_stretch() -> None:
    bars, rejections = decode_bars(batch([b"x", None, bar(open=-1)]), NOW_MS)
    assert len(bars) == 0
    assert [r.row for r in rejections] == [0, 1, 2]
    assert (bars.start_offset, bars.next_offset) == (START - 2, START + 3)
    assert bars.prices.shape == (0, 4)
    assert (bars.codes.dtype, bars.closed.dtype) == (np.int32, np.bool_)


def test_an_empty_batch_decodes_to_an_empty_batch() -> None:
    bars, rejections = decode_bars(batch([]), NOW_MS)
    assert (len(bars), rejections) == (0, [])


def test_offsets_with_holes_stay_those_of_their_records() -> None:
    bars, _ = decode_bars(batch([bar(), b"x", bar(), bar()], stride=10), NOW_MS)
    assert bars.offsets.tolist() == [START, START + 20, START + 30]
    assert bars.next_offset == START + 40


def test_columns_hold_the_values_of_the_messages() -> None:
    values = [bar(), bar(symbol="FPT", interval="1d", volume=0), bar(close=85.0)]
    bars, _ = decode_bars(batch(values), NOW_MS)
    assert bars.prices.tolist() == [
        [85.5, 86.2, 85.0, 86.0], [85.5, 86.2, 85.0, 86.0], [85.5, 86.2, 85.0, 85.0],
    ]  # fmt: skip
    assert bars.volume.tolist() == [1_250_000, 0, 1_250_000]
    assert [bars.series[code] for code in bars.codes] == [("VCB", "1m"), ("FPT", "1d"), ("VCB", "1m")]
    assert bars.time_ms.tolist() == [int((NINE + dt.timedelta(minutes=15)).timestamp() * 1000)] * 3


def test_times_of_any_zone_and_to_the_millisecond_are_exact() -> None:
    values = [
        bar(time="2025-07-28T02:15:00Z"),
        bar(time="2025-07-28T09:15:00.123+07:00"),
        bar(time="2025-07-28T09:15:00.999+07:00"),
        bar(time="2025-07-27T21:15:00-05:00"),
    ]
    at = int((NINE + dt.timedelta(minutes=15)).timestamp() * 1000)
    assert decode_bars(batch(values), NOW_MS)[0].time_ms.tolist() == [at, at + 123, at + 999, at]


@pytest.mark.parametrize(
    ("collected_at", "closed"),
    [
        pytest.param("2025-07-28T09:15:59.999", False, id="naive, before the end"),
        pytest.param("2025-07-28T09:16:00", True, id="naive, at the end: Vietnamese time"),
        pytest.param("2025-07-28T02:15:59.999Z", False, id="UTC, before the end"),
        pytest.param("2025-07-28T02:16:00Z", True, id="UTC, at the end"),
        pytest.param("2025-07-28T09:16:00+07:00", True, id="Vietnamese, at the end"),
        pytest.param("2025-07-28T09:16:00+09:00", False, id="Tokyo, two hours before"),
    ],
)
def test_a_bar_is_closed_when_it_was_collected_at_its_end_or_later(collected_at: str, closed: bool) -> None:
    assert decode_bars(batch([bar(collected_at=collected_at)]), NOW_MS)[0].closed.tolist() == [closed]


@pytest.mark.parametrize(
    ("interval", "end"),
    [("1m", "09:16:00"), ("5m", "09:20:00"), ("15m", "09:30:00"), ("1h", "10:15:00")],
)
def test_the_end_of_a_bar_follows_from_its_interval(interval: str, end: str) -> None:
    before = f"2025-07-28T{end}"
    values = [
        bar(interval=interval, collected_at=before),
        b"x",
        bar(interval=interval, collected_at="2025-07-28T09:15:30"),
    ]
    assert decode_bars(batch(values), NOW_MS)[0].closed.tolist() == [True, False]


def test_clocks_that_differ_by_seconds_are_tolerated_and_no_more() -> None:
    at_limit = dt.datetime.fromtimestamp((NOW_MS + FUTURE_TOLERANCE_MS) / 1000, VIETNAM)
    beyond = at_limit + dt.timedelta(milliseconds=1)
    values = [bar(time=at_limit.isoformat()), bar(time=beyond.isoformat())]
    bars, rejections = decode_bars(batch(values), NOW_MS)
    assert bars.offsets.tolist() == [START]
    assert [r.reason for r in rejections] == ["time-in-future"]


def test_a_bar_whose_prices_are_all_the_same_is_good() -> None:
    flat = bar(open=10, high=10, low=10, close=10, volume=0)
    assert len(decode_bars(batch([flat]), NOW_MS)[0]) == 1


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_number = st.sampled_from([0, -0.0, 1, 85.5, 1e-320, 1e308, -1, 0.1, 2**53 + 1, 10**30]) | st.floats()
_almost_bars = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["VCB", "FPT", "vcb", "VN30F2508", "", "V" * 13]) | st.text(max_size=4),
        "time": st.sampled_from(["2025-07-28T09:15:00+07:00", "2000-07-28T00:00:00+07:00", "2025-07-28"])
        | st.datetimes(timezones=st.just(dt.UTC)).map(dt.datetime.isoformat),
        "open": _number | _json,
        "high": _number,
        "low": _number,
        "close": _number,
        "volume": _number,
        "collected_at": st.datetimes().map(dt.datetime.isoformat) | _json,
        "interval": st.sampled_from(["1m", "5m", "15m", "1h", "1d", "3m"]),
    },
).map(lambda data: json.dumps(data).encode())
_values = (
    st.none()
    | st.binary(max_size=60)
    | _json.map(lambda data: json.dumps(data).encode())
    | _almost_bars
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("open", "high", "low", "close", "volume"), _number)
    ).map(lambda changes: bar(**changes))
    | st.just(bar())
)


@settings(max_examples=400)
@given(st.lists(_values, max_size=8))
def test_whatever_comes_every_row_is_either_kept_or_rejected_once(values: list[bytes | None]) -> None:
    bars, rejections = decode_bars(batch(values), NOW_MS)
    kept = (bars.offsets - START).tolist()
    rejected = [r.row for r in rejections]
    assert kept == sorted(kept)
    assert rejected == sorted(rejected)
    assert sorted(kept + rejected) == list(range(len(values)))
    columns = (bars.codes, bars.time_ms, bars.prices, bars.volume, bars.closed, bars.append_ms)
    assert {len(column) for column in columns} == {len(kept)}
    assert np.isfinite(bars.prices).all()
    assert (bars.prices > 0).all()
    assert (bars.prices[:, 1] >= bars.prices.max(axis=1, initial=0)).all()
    assert all(Series(*bars.series[code]).symbol.isascii() for code in bars.codes)


@settings(max_examples=200)
@given(st.lists(_values | st.just(article()), max_size=6))
def test_whatever_comes_as_news_every_row_is_either_kept_or_rejected_once(values: list[bytes | None]) -> None:
    news, rejections = decode_news(batch(values), NOW_MS, lambda item: ())
    kept = [offset - START for offset in news.offsets]
    assert sorted(kept + [r.row for r in rejections]) == list(range(len(values)))
    assert len(news.items) == len(news.symbols) == len(news.append_ms) == len(kept)


@given(st.lists(st.sampled_from([b'{"a":1}', b"{", None, b"[]"]), max_size=10))
def test_decoding_one_by_one_gives_the_same_as_decoding_at_once(values: list[bytes | None]) -> None:
    decoded, rows, rejections = decode_each(values, msgspec.json.Decoder(dict[str, int]).decode)
    assert rows == [row for row, value in enumerate(values) if value == b'{"a":1}']
    assert decoded == [{"a": 1}] * len(rows)
    assert sorted(rows + [r.row for r in rejections]) == list(range(len(values)))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(None, "null-value", id="no value"),
        pytest.param(b"<html>", "not-json", id="a web page"),
        pytest.param(GARBAGE, "not-json", id="a megabyte of garbage"),
        pytest.param(article(title=...), "missing-field", id="no title"),
        pytest.param(article(title=""), "wrong-type", id="empty title"),
        pytest.param(article(news_id="x" * 201), "wrong-type", id="news_id too long"),
        pytest.param(article(symbol="vcb"), "wrong-type", id="symbol in small letters"),
        pytest.param(article(symbol="VCB\n"), "wrong-type", id="a line feed after the symbol"),
        pytest.param(article(tags="tăng vốn"), "wrong-type", id="tags as text"),
        pytest.param(article(published_at="2025-07-28T08:30:00"), "wrong-type", id="published without zone"),
        pytest.param(article(published_at="2025-07-29T08:30:00+07:00"), "time-in-future", id="tomorrow"),
        pytest.param(article(published_at="1995-07-29T08:30:00+07:00"), "time-too-old", id="long ago"),
    ],
)
def test_a_bad_article_gets_its_reason_and_costs_no_good_one(bad: bytes | None, reason: str) -> None:
    values = [article(), bad, article(news_id="n2", symbol=None)]
    news, rejections = decode_news(batch(values), NOW_MS, lambda item: (item.symbol or "VNINDEX",))
    assert [(r.row, r.reason) for r in rejections] == [(1, reason)]
    assert [item.news_id for item in news.items] == ["n1", "n2"]
    assert news.symbols == [("VCB",), ("VNINDEX",)]
    assert news.offsets == [START, START + 2]
    assert all(type(offset) is int for offset in (*news.offsets, *news.append_ms))


def test_what_our_own_encoder_writes_is_decoded() -> None:
    time = NINE + dt.timedelta(minutes=1)
    values: list[bytes | None] = [encode(PriceBar("VCB", time, 1.1, 1.2, 1.0, 1.1, 0, time, "5m", "x"))]
    bars, rejections = decode_bars(batch(values), NOW_MS)
    assert (len(bars), rejections) == (1, [])
    item = NewsItem("n", None, "t", "", "s", "u", time, time)
    assert len(decode_news(batch([encode(item)]), NOW_MS, lambda _: ("VNINDEX",))[0]) == 1
