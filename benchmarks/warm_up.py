"""How long a technical analyzer takes to start from the store, as JSON.

``.venv/bin/python benchmarks/warm_up.py [--symbols 1600] [--bars 500]`` writes that many one-minute
bars of that many symbols into an embedded store of its own (a minute or two) and starts an analyzer
from it, twice: as a fresh process does after the kernels were compiled, and again. ``read_s`` is the
part of the store and of its client; the rest is the engine's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from pydantic import SecretStr

from vnpulse.batches import BarBatch, Series
from vnpulse.embedded.mongo import MongoConfig, MongoServer
from vnpulse.embedded.ports import PortBook
from vnpulse.market import load_market
from vnpulse.messages import DAY_MS
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.settings import StoreSettings
from vnpulse.technical.analyzer import TechnicalAnalyzer
from vnpulse.technical.settings import TechnicalSettings
from vnpulse.topics import PRICES

OPENING_MS = 1_735_784_100_000
"""2025-01-02 09:15 in Vietnam."""
MINUTES_A_DAY = 225
SYMBOLS_A_WRITE = 100
"""A write of all of them takes the embedded store longer than the store's clients wait."""


def minute_ms(number: int) -> int:
    """Return when the ``number``-th minute of trading opens, MINUTES_A_DAY of them a day."""
    day, of_day = divmod(number, MINUTES_A_DAY)
    return OPENING_MS + day * DAY_MS + of_day * 60_000


def batches(symbols: int, bars: int) -> Iterator[BarBatch]:
    """Yield a batch for each trading day of SYMBOLS_A_WRITE symbols: random walks on a tick."""
    rng = np.random.default_rng(7)
    first = 0
    for begin in range(0, symbols, SYMBOLS_A_WRITE):
        names = [f"S{number:04}" for number in range(begin, min(begin + SYMBOLS_A_WRITE, symbols))]
        for day in range(-(-bars // MINUTES_A_DAY)):
            minutes = np.arange(min(MINUTES_A_DAY, bars - day * MINUTES_A_DAY))
            steps = rng.integers(-2, 3, (len(names), len(minutes)))
            close = np.maximum(25.0 + 0.05 * steps.cumsum(axis=1), 1.0).ravel()
            rows = len(close)
            yield BarBatch(
                topic=PRICES,
                partition=0,
                start_offset=first,
                next_offset=first + rows,
                series=[Series(name, "1m") for name in names],
                codes=np.repeat(np.arange(len(names), dtype=np.int32), len(minutes)),
                time_ms=np.tile(OPENING_MS + day * DAY_MS + minutes * 60_000, len(names)),
                prices=np.stack((close, close + 0.1, close - 0.1, close), axis=1),
                volume=100.0 * rng.integers(1, 100, rows),
                closed=np.ones(rows, np.bool_),
                offsets=np.arange(first, first + rows),
                append_ms=np.full(rows, OPENING_MS, np.int64),
            )
            first += rows


def measure(symbols: int, bars: int) -> dict[str, object]:
    """Fill a store and start analyzers from it."""
    with tempfile.TemporaryDirectory(prefix="vnpulse-bench-") as folder:
        ports = PortBook(Path(folder) / "ports.json")
        server = MongoServer(MongoConfig(folder=Path(folder) / "mongo"), ports)
        server.start()
        try:
            store = BarStore(connect(StoreSettings(uri=SecretStr(server.uri))))
            store.ensure_indexes()
            began = time.perf_counter()
            for batch in batches(symbols, bars):
                store.write([batch])
            fill_s = round(time.perf_counter() - began, 1)
            starts, reads = [], []
            before = psutil.Process().memory_info().rss
            for _ in range(2):
                analyzer = TechnicalAnalyzer(TechnicalSettings(), store, PRICES, load_market(), {})
                began = time.perf_counter()
                analyzer.start()
                starts.append(round(time.perf_counter() - began, 2))
                began = time.perf_counter()
                sum(map(len, store.latest_bars(("1m",), bars)))
                reads.append(round(time.perf_counter() - began, 2))
                if analyzer.counters()["bars_warm_up"] != symbols * bars:
                    raise RuntimeError(f"loaded {analyzer.counters()}")
            used = psutil.Process().memory_info().rss - before
        finally:
            server.stop()
    return {
        "symbols": symbols,
        "bars": bars,
        "fill_s": fill_s,
        "start_s": starts,
        "read_s": reads,
        "both_mb": round(used / 1e6),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--symbols", type=int, default=1_600)
    parser.add_argument("--bars", type=int, default=500)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.symbols, arguments.bars)))


if __name__ == "__main__":
    main()
