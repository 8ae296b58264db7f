"""The sample is what it says: every message in it would be accepted, and none comes twice."""

from __future__ import annotations

import datetime as dt
import itertools

import msgspec
import numpy as np
import pytest

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import decode_bars, decode_news
from vnpulse.demo.sample import Sample, load_sample
from vnpulse.demo.view import market_time
from vnpulse.errors import UserError
from vnpulse.messages import VIETNAM, NewsItem, PriceBar

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def sample() -> Sample:
    return load_sample()


@pytest.fixture(scope="module")
def few() -> Sample:
    return load_sample(["VCB", "FPT"])


def batch(values: list[bytes]) -> PartitionBatch:
    offsets = np.arange(len(values), dtype=np.int64)
    return PartitionBatch("t", 0, 0, len(values), list(values), [None] * len(values), offsets, offsets)


def test_every_bar_and_article_would_be_accepted(sample: Sample) -> None:
    now_ms = sample.minutes[-1] + DAY_MS  # the last evening's articles come with the last minute
    bars, rejected = decode_bars(batch([v for pairs in sample.bars for _, v in pairs]), now_ms)
    assert rejected == []
    assert len(bars) == sample.bar_count
    assert bars.closed.all()
    news, rejected = decode_news(batch([v for pairs in sample.news for _, v in pairs]), now_ms, lambda _: ())
    assert rejected == []
    assert {item.news_id for item in news.items} == sample.article_ids
    assert len(news) == sample.news_count


def test_no_bar_comes_twice(sample: Sample) -> None:
    bars = [msgspec.json.decode(v, type=PriceBar) for pairs in sample.bars for _, v in pairs]
    keys = [(bar.symbol, bar.interval, bar.time) for bar in bars]
    assert len(keys) == len(set(keys))
    minutes = {(s, int(t.timestamp() * 1000)) for s, interval, t in keys if interval == "1m"}
    assert minutes == sample.analysed_bars


def test_messages_are_keyed_by_symbol(sample: Sample) -> None:
    for key, value in itertools.chain.from_iterable(sample.bars):
        assert msgspec.json.decode(value, type=PriceBar).symbol == key
    for key, value in itertools.chain.from_iterable(sample.news):
        assert (msgspec.json.decode(value, type=NewsItem).symbol or "VNINDEX") == key


def test_nothing_is_sent_before_it_was_known(sample: Sample) -> None:
    assert sample.minutes == sorted(set(sample.minutes))
    for minute, pairs in zip(sample.minutes, sample.bars, strict=True):
        for _, value in pairs:
            bar = msgspec.json.decode(value, type=PriceBar)
            assert bar.interval == "1d" or bar.time.timestamp() * 1000 == minute
    for minute, pairs in zip(sample.minutes[:-1], sample.news[:-1], strict=True):
        for _, value in pairs:
            item = msgspec.json.decode(value, type=NewsItem)
            assert item.published_at.timestamp() * 1000 <= minute


def test_a_day_s_daily_bars_come_with_its_last_minute_and_history_ends_before(sample: Sample) -> None:
    last_minutes = {}
    for minute in sample.minutes:
        last_minutes[dt.datetime.fromtimestamp(minute / 1000, VIETNAM).date()] = minute
    daily = [
        (minute, msgspec.json.decode(value, type=PriceBar))
        for minute, pairs in zip(sample.minutes, sample.bars, strict=True)
        for _, value in pairs
        if b'"interval":"1d"' in value
    ]
    assert daily
    assert all(last_minutes[bar.time.date()] == minute for minute, bar in daily)
    first_day = dt.datetime.fromisoformat(sample.first_day).replace(tzinfo=VIETNAM)
    assert (sample.history.time_ms < first_day.timestamp() * 1000).all()
    assert {series.interval for series in sample.history.series} == {"1d"}


def test_a_part_of_the_sample_is_about_the_chosen_symbols(few: Sample, sample: Sample) -> None:
    assert few.symbols == ["FPT", "VCB"]
    assert {key for pairs in few.bars for key, _ in pairs} == {"FPT", "VCB"}
    assert {key for pairs in few.news for key, _ in pairs} <= {"FPT", "VCB", "VNINDEX"}
    assert {series.symbol for series in few.history.series} == {"FPT", "VCB"}
    assert few.bar_count < sample.bar_count
    assert (few.first_day, few.last_day) == (sample.first_day, sample.last_day)


def test_an_unknown_symbol_is_named_together_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"not in the sample: XXX, YYY; it has .*VCB"):
        load_sample(["VCB", "YYY", "XXX"])


def test_market_time_is_what_a_vietnamese_clock_shows() -> None:
    assert market_time(1_753_668_900_000) == "Mon 2025-07-28 09:15"
