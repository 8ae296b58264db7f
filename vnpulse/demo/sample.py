"""The sample: 48 symbols, 28 to 30 July 2025, minute bars, daily bars before and of those days, news.

The bars are real figures. The articles were written for this project and say so; the events in
them did not happen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from vnpulse.batches import BarBatch, Series
from vnpulse.errors import UserError
from vnpulse.messages import INTERVAL_MS, VIETNAM, NewsItem, PriceBar, encode
from vnpulse.publishing import MARKET_KEY

DATA_DIR = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Sample:
    """Messages by the market minute that they become known, and the daily history before.

    ``minutes`` ascend (epoch milliseconds); ``bars[i]`` and ``news[i]`` are (key, value) pairs of
    ``minutes[i]``. A day's daily bars come with the last minute of the day.
    """

    symbols: list[str]
    history: BarBatch
    minutes: list[int]
    bars: list[list[tuple[str, bytes]]]
    news: list[list[tuple[str, bytes]]]
    analysed_bars: set[tuple[str, int]]
    """(symbol, epoch ms) of every minute bar."""
    bar_count: int
    article_ids: set[str]
    first_day: str
    last_day: str

    @property
    def news_count(self) -> int:
        """Return how many articles there are."""
        return len(self.article_ids)

    def first_minutes(self, count: int) -> Sample:
        """Return the sample cut off after ``count`` minutes."""
        news, bars, minutes = self.news[:count], self.bars[:count], self.minutes[:count]
        return replace(
            self,
            minutes=minutes,
            bars=bars,
            news=news,
            analysed_bars={(symbol, at) for symbol, at in self.analysed_bars if at <= minutes[-1]},
            bar_count=sum(map(len, bars)),
            article_ids={
                msgspec.json.decode(value, type=NewsItem).news_id for minute in news for _, value in minute
            },
        )


def load_sample(symbols: Sequence[str] = (), folder: Path = DATA_DIR) -> Sample:
    """Read the sample, or the part of it about ``symbols``. Raises UserError for an unknown one."""
    minute_bars = _read(folder / "bars_1m.parquet")
    daily_bars = _read(folder / "bars_1d.parquet")
    known = sorted(set(minute_bars["symbol"].to_pylist()))
    unknown = sorted(set(symbols) - set(known))
    if unknown:
        raise UserError(f"--symbols: not in the sample: {', '.join(unknown)}; it has {', '.join(known)}")
    chosen = set(symbols) or set(known)

    by_minute: dict[int, list[tuple[str, bytes]]] = {}
    analysed: set[tuple[str, int]] = set()
    last_minute: dict[str, int] = {}
    count = 0
    for bar in _messages(minute_bars, "1m", chosen):
        time_ms = int(bar.time.timestamp() * 1000)
        by_minute.setdefault(time_ms, []).append((bar.symbol, encode(bar)))
        analysed.add((bar.symbol, time_ms))
        day = bar.time.date().isoformat()
        last_minute[day] = max(last_minute.get(day, 0), time_ms)
        count += 1
    first_day, last_day = min(last_minute), max(last_minute)

    history = []
    for bar in _messages(daily_bars, "1d", chosen):
        day = bar.time.date().isoformat()
        if day < first_day:
            history.append(bar)
        elif day in last_minute:
            by_minute[last_minute[day]].append((bar.symbol, encode(bar)))
            count += 1

    minutes = sorted(by_minute)
    news: list[list[tuple[str, bytes]]] = [[] for _ in minutes]
    ids = set()
    for line in (folder / "news.jsonl").read_bytes().splitlines():
        item = msgspec.json.decode(line, type=NewsItem)
        if item.symbol is not None and item.symbol not in chosen:
            continue
        # An article is known from the first minute of trading that is not before it.
        at = int(np.searchsorted(minutes, item.published_at.timestamp() * 1000))
        news[min(at, len(minutes) - 1)].append((item.symbol or MARKET_KEY, encode(item)))
        ids.add(item.news_id)
    return Sample(
        symbols=sorted(chosen),
        history=_batch(history),
        minutes=minutes,
        bars=[by_minute[minute] for minute in minutes],
        news=news,
        analysed_bars=analysed,
        bar_count=count,
        article_ids=ids,
        first_day=first_day,
        last_day=last_day,
    )


def _read(path: Path) -> pa.Table:
    return pa_parquet.read_table(path)


def _messages(table: pa.Table, interval: str, chosen: set[str]) -> list[PriceBar]:
    length = dt.timedelta(milliseconds=INTERVAL_MS[interval])
    messages = []
    for row in table.to_pylist():
        if row["symbol"] in chosen:
            time = row["time"].astimezone(VIETNAM)
            row |= {"time": time, "collected_at": time + length, "interval": interval, "source": "sample"}
            messages.append(PriceBar(**row))
    return messages


def _batch(bars: list[PriceBar]) -> BarBatch:
    """Return bars that never were in Kafka as a batch for the store."""
    n = len(bars)
    series: dict[Series, int] = {}
    codes = [series.setdefault(Series(b.symbol, b.interval), len(series)) for b in bars]
    return BarBatch(
        topic="",
        partition=-1,
        start_offset=-1,
        next_offset=-1,
        series=list(series),
        codes=np.array(codes, dtype=np.int32),
        time_ms=np.array([int(b.time.timestamp() * 1000) for b in bars], dtype=np.int64),
        prices=np.array([(b.open, b.high, b.low, b.close) for b in bars], dtype=np.float64).reshape(n, 4),
        volume=np.array([b.volume for b in bars], dtype=np.float64),
        closed=np.ones(n, dtype=np.bool_),
        offsets=np.full(n, -1, dtype=np.int64),
        append_ms=np.zeros(n, dtype=np.int64),
    )
