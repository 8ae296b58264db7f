"""Sources that read bars or articles from memory, or from a file that something else keeps up to date."""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from vnpulse.clock import Clock
from vnpulse.collection.sources import Board, NothingThere, SourceUnavailable
from vnpulse.errors import InputFileError
from vnpulse.messages import INTERVAL_MS, NewsItem, PriceBar
from vnpulse.publishing import BarReader, NewsReader, Reader, read_chunks
from vnpulse.trading_calendar import day_of, midnight_ms

log = logging.getLogger(__name__)


class MemoryMarket:
    """A MarketSource over bars: the board is what the day's finished one-minute bars add up to."""

    def __init__(self, bars: Iterable[PriceBar], clock: Clock, name: str = "memory") -> None:
        self.name = name
        self._clock = clock
        self._bars: dict[tuple[str, str], list[PriceBar]] = {}
        self._take(bars)

    def _take(self, bars: Iterable[PriceBar]) -> None:
        series: dict[tuple[str, str], dict[dt.datetime, PriceBar]] = defaultdict(dict)
        for bar in bars:
            series[bar.symbol, bar.interval][bar.time] = bar
        self._bars = {key: [of_key[time] for time in sorted(of_key)] for key, of_key in series.items()}

    def board(self, symbols: Sequence[str]) -> Board:
        """Return the board as of the clock's present; symbols without a bar today show no price."""
        now_ms = self._clock.now_ms()
        today_ms = midnight_ms(day_of(now_ms))
        known = [symbol for symbol in symbols if (symbol, "1m") in self._bars]
        rows = np.full((len(known), 5), np.nan)
        rows[:, 4] = 0
        for row, symbol in zip(rows, known, strict=True):
            bars = [
                bar
                for bar in self._bars[symbol, "1m"]
                if today_ms <= bar.time.timestamp() * 1000 <= now_ms - INTERVAL_MS["1m"]
            ]
            if bars:
                row[:] = (
                    bars[-1].close,
                    bars[0].open,
                    max(bar.high for bar in bars),
                    min(bar.low for bar in bars),
                    sum(bar.volume for bar in bars),
                )
        price, opened, high, low, volume = rows.T
        times = np.full(len(known), -1, np.int64)
        return Board(self.name, now_ms, known, price, opened, high, low, volume, times)

    def history(self, symbol: str, interval: str, first: dt.date, last: dt.date) -> list[PriceBar]:
        """Return the bars of the days ``first`` to ``last``. Raises NothingThere without any."""
        bars = [bar for bar in self._bars.get((symbol, interval), ()) if first <= bar.time.date() <= last]
        if not bars:
            raise NothingThere(f"{self.name}: {symbol} has no {interval} bars from {first} to {last}")
        return bars

    def close(self) -> None:
        """Nothing is open."""


class FileMarket(MemoryMarket):
    """The same over a parquet, csv or jsonl file, which is read again when it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__((), clock, "file")
        self._path = path
        self._version: tuple[int, int] | None = None

    def _refresh(self) -> None:
        version = _version_of(self._path)
        if version != self._version:
            values = _messages(self._path, BarReader(local_time=True), self._clock)
            self._take(msgspec.json.decode(value, type=PriceBar) for value in values)
            self._version = version

    def board(self, symbols: Sequence[str]) -> Board:
        """Return the board as of the clock's present. Raises SourceUnavailable without a usable file."""
        self._refresh()
        return super().board(symbols)

    def history(self, symbol: str, interval: str, first: dt.date, last: dt.date) -> list[PriceBar]:
        """Return the bars of the days. Raises SourceUnavailable or NothingThere."""
        self._refresh()
        return super().history(symbol, interval, first, last)


class FileNews:
    """A NewsSource over a parquet, csv or jsonl file of articles, which is read again when it has changed."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.name = f"file-{path.stem}"[:60]
        self._path = path
        self._clock = clock
        self._version: tuple[int, int] | None = None
        self._unconfirmed: tuple[int, int] | None = None

    def fetch(self) -> list[NewsItem]:
        """Return all articles if the file has changed. Raises SourceUnavailable without a usable file."""
        self._unconfirmed = _version_of(self._path)
        if self._unconfirmed == self._version:
            return []
        values = _messages(self._path, NewsReader(), self._clock)
        return [msgspec.json.decode(value, type=NewsItem) for value in values]

    def confirm(self) -> None:
        """This version of the file has been sent."""
        self._version = self._unconfirmed

    def dump(self) -> bytes:
        """Return which version of the file has been sent."""
        return msgspec.msgpack.encode(self._version)

    def load(self, state: bytes) -> None:
        """Go on from what ``dump`` returned."""
        self._version = msgspec.msgpack.decode(state, type=tuple[int, int] | None)

    def close(self) -> None:
        """Nothing is open."""


def _version_of(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise SourceUnavailable(f"{path}: {error.strerror}") from None
    return stat.st_mtime_ns, stat.st_size


def _messages(path: Path, reader: Reader, clock: Clock) -> list[bytes]:
    """Return what of the file is fit to be sent; the rest is told in one line."""
    try:
        chunks = list(read_chunks(path, reader, clock.now_ms))
    except InputFileError as error:
        raise SourceUnavailable(str(error)) from None
    rejected = [row for chunk in chunks for row in chunk.rejected]
    if rejected:
        row, why = rejected[0]
        log.warning("%s: %d rows cannot be used; the first is %d: %s", path, len(rejected), row, why)
    return [value for chunk in chunks for value in chunk.values]
