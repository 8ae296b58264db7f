"""What minutes of a whole market cost the code that sees every bar, in one process, as JSON.

``.venv/bin/python benchmarks/market_minute.py [--symbols 1600,16000] [--minutes 60]``: records of one
partition are decoded, one technical analyzer takes them and gives a result for each, and the results
are encoded, a minute of all symbols at a time. CPU time by stage, bytes on the wire, and the memory
that the analyzer holds. docs/scale.md reckons with these figures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import psutil

from benchmarks.no_history import NoHistory
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import decode_bars
from vnpulse.market import load_market
from vnpulse.messages import VIETNAM, OffsetRange, PriceBar, encode
from vnpulse.technical.analyzer import TechnicalAnalyzer
from vnpulse.technical.settings import TechnicalSettings
from vnpulse.topics import PRICES

OPENING = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)
MINUTES_OF_A_SESSION = 135
NOW_MS = int((OPENING + dt.timedelta(days=30)).timestamp() * 1000)
UNMEASURED = 5
"""Minutes before the measuring: kernels are compiled, and arrays have their size."""


def minute(number: int, symbols: int, closes: np.ndarray) -> PartitionBatch:
    """Return the records of one minute of all symbols."""
    days, rest = divmod(number, MINUTES_OF_A_SESSION)
    time_ = OPENING + dt.timedelta(days=days, minutes=rest)
    collected = time_ + dt.timedelta(minutes=1)
    values: list[bytes | None] = []
    for symbol, close in enumerate(closes.tolist()):
        bar = PriceBar(
            symbol=f"S{symbol:05}", time=time_, open=close, high=close + 0.1, low=close - 0.1, close=close,
            volume=1_000 + symbol % 700, collected_at=collected,
        )  # fmt: skip
        values.append(encode(bar))
    first = number * symbols
    return PartitionBatch(
        topic=PRICES,
        partition=0,
        start_offset=first,
        next_offset=first + symbols,
        offsets=np.arange(first, first + symbols),
        timestamps=np.full(symbols, NOW_MS),
        values=values,
        keys=[None] * symbols,
    )


def measure(symbols: int, minutes: int) -> dict[str, Any]:
    """Return what ``minutes`` of ``symbols`` cost."""
    rng = np.random.default_rng(7)
    closes = np.full(symbols, 25.0)
    before = psutil.Process().memory_info().rss
    analyzer = TechnicalAnalyzer(TechnicalSettings(), NoHistory(), PRICES, load_market(), {})
    analyzer.start()
    spent: dict[str, float] = defaultdict(float)
    sizes: dict[str, int] = defaultdict(int)
    for number in range(UNMEASURED + minutes):
        closes = np.maximum(np.round(closes + 0.05 * rng.integers(-2, 3, symbols), 2), 1.0)
        records = minute(number, symbols, closes)
        marks = [time.process_time()]
        bars, _ = decode_bars(records, NOW_MS)
        marks.append(time.process_time())
        analyzer.update(bars)
        marks.append(time.process_time())
        first = records.start_offset
        asked = [
            AnalysisRequest(f"S{i:05}", "r", (OffsetRange(PRICES, 0, first + i, first + i),))
            for i in range(symbols)
        ]
        marks.append(time.process_time())
        results = analyzer.analyze(asked)
        marks.append(time.process_time())
        encoded = [encode(result) for result in results]
        marks.append(time.process_time())
        if len(results) != symbols:
            raise RuntimeError(f"{len(results)} results of {symbols} bars")
        if number >= UNMEASURED:
            stages = ("decode", "update", "", "analyze", "encode")
            for stage, (begin, end) in zip(stages, pairwise(marks), strict=True):
                spent[stage] += end - begin
            sizes["bar"] += sum(map(len, records.values))
            sizes["result"] += sum(map(len, encoded))
    rows = symbols * minutes
    return {
        "symbols": symbols,
        "minutes": minutes,
        "cpu_us_a_bar": {stage: round(s / rows * 1e6, 2) for stage, s in spent.items() if stage},
        "bytes": {what: round(total / rows) for what, total in sizes.items()},
        "mb": round((psutil.Process().memory_info().rss - before) / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", default="1600", help="separated by commas")
    parser.add_argument("--minutes", type=int, default=60)
    arguments = parser.parse_args()
    runs = [measure(int(symbols), arguments.minutes) for symbols in arguments.symbols.split(",")]
    print(json.dumps(runs, indent=2))


if __name__ == "__main__":
    main()
