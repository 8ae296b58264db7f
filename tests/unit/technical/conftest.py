"""Bars as a log: how a test writes records down and hands them over in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from vnpulse.batches import BarBatch, Series
from vnpulse.market import load_market
from vnpulse.technical import layout
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

TOPIC = "stock_prices_raw"
OPENING_MS = 1_753_668_000_000
"""2025-07-28 09:00 in Vietnam."""


class Bar(NamedTuple):
    """One record: the ``minute``-th bar of a series; open, high and low follow from the close."""

    symbol: str
    minute: int
    close: float
    closed: bool = True
    interval: str = "1m"
    spread: float = 0.1
    volume: float = 100.0
    offset: int = -2
    time_ms: int = 0


@dataclass
class Log:
    """Makes batches of one partition whose offsets run on from each other."""

    partition: int = 0
    topic: str = TOPIC
    next_offset: int = 0
    written: list[BarBatch] = field(default_factory=list)

    def batch(self, bars: Sequence[Bar], hole: int = 0) -> BarBatch:
        """Append ``bars`` and then ``hole`` offsets that no row has."""
        first = self.next_offset
        self.next_offset = first + len(bars) + hole
        series = list(dict.fromkeys(Series(bar.symbol, bar.interval) for bar in bars))
        steps = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}
        made = BarBatch(
            topic=self.topic,
            partition=self.partition,
            start_offset=first,
            next_offset=self.next_offset,
            series=series,
            codes=np.array([series.index(Series(b.symbol, b.interval)) for b in bars], np.int32),
            time_ms=np.array(
                [b.time_ms or OPENING_MS + b.minute * steps[b.interval] for b in bars], np.int64
            ),
            prices=np.array(
                [(b.close, b.close + b.spread, b.close - b.spread, b.close) for b in bars], np.float64
            ).reshape(len(bars), 4),
            volume=np.array([b.volume for b in bars], np.float64),
            closed=np.array([b.closed for b in bars], np.bool_),
            offsets=np.arange(first, first + len(bars), dtype=np.int64)
            if self.partition >= 0
            else np.full(len(bars), -1, np.int64),
            append_ms=np.arange(first, first + len(bars), dtype=np.int64) + OPENING_MS,
        )
        for column in (made.codes, made.time_ms, made.prices, made.volume, made.closed, made.offsets):
            column.flags.writeable = False  # As they come out of Ray's object store.
        self.written.append(made)
        return made


@dataclass
class MemoryHistory:
    """A BarHistory that yields the batches it was given."""

    batches: list[BarBatch] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)

    def latest_bars(
        self, intervals: Sequence[str], count: int, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[BarBatch]:
        for batch in self.batches:
            kept = [wanted is None or wanted(series.symbol) for series in batch.series]
            rows = np.flatnonzero(np.array(kept, np.bool_)[batch.codes])
            if len(rows):
                yield batch.rows(rows)

    def symbols(self, intervals: Sequence[str]) -> set[str]:
        return {series.symbol for batch in self.batches for series in batch.series}

    def stored_through(self, topic: str) -> dict[int, int]:
        return dict(self.stored)


def _walk(seed: int, minutes: int, symbols: Sequence[str] = ("FPT", "HPG", "VCB")) -> list[Bar]:
    """Return closed bars of each symbol for most minutes, in the order of a live feed."""
    rng = np.random.default_rng(seed)
    price = dict.fromkeys(symbols, 25.0)
    bars = []
    for minute in range(minutes):
        for symbol in symbols:
            if rng.random() < 0.1:
                continue
            price[symbol] = round(max(price[symbol] + 0.05 * rng.integers(-3, 4), 1.0), 2)
            bars.append(Bar(symbol, minute, price[symbol], volume=float(rng.integers(1, 9) * 100)))
    return bars


@pytest.fixture(scope="session")
def log() -> type[Log]:
    return Log


@pytest.fixture(scope="session")
def bar() -> type[Bar]:
    return Bar


@pytest.fixture(scope="session")
def history() -> type[MemoryHistory]:
    return MemoryHistory


@pytest.fixture(scope="session")
def walk() -> Callable[..., list[Bar]]:
    return _walk


@pytest.fixture(scope="session")
def engine_of() -> Callable[..., TechnicalEngine]:
    """Makes an engine with a short history; symbols are of no known exchange unless it is given."""

    def make(exchange_of: Any = None, **changes: Any) -> TechnicalEngine:
        settings = TechnicalSettings(**{"history_bars": 64, **changes})
        return TechnicalEngine(settings, load_market(), exchange_of or {})

    return make


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Any], dict[str, Any]]:
    """What an engine knows, by series: comparing two says whether they are the same, bit for bit.

    Only what counts: how many rows beyond the history are still held depends on when there was no
    more room, and with it how far back the search may go, and which states are kept.
    """

    def take(engine: TechnicalEngine) -> dict[str, Any]:
        known = {}
        for series, number in engine.numbers.items():
            rows = engine.rows(number)
            held = slice(max(0, rows - engine.history_bars), rows)
            known[series] = (
                int(engine.counts[number, layout.SEEN]),
                engine.bars[number, :, held].tobytes(),
                np.delete(engine.marks[number, held], layout.REACH, axis=1).tobytes(),
                engine.outputs[number, held].tobytes(),
                engine._memory[number, layout.HEAD].tobytes(),
            )
        return known

    return take
