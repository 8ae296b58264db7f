"""Our indicators beside TA-Lib, talipp and pandas-ta, on the same bars in one run, as JSON.

Run by hand on a quiet machine: ``.venv/bin/python benchmarks/indicators.py``. talipp and pandas-ta
(or pandas-ta-classic) are compared where they are installed; a folder will do (``uv pip install
--target FOLDER talipp pandas-ta-classic``, then ``PYTHONPATH=FOLDER``).

Everything runs in one thread, and times are CPU seconds of this process, so that what else the
machine does counts as little as it can. A market of the wanted size is made of the file's symbols
under other names, each copy beginning a bar later than the one before. The comparison is over the
indicators that all of the libraries have; ``per_indicator`` has ours one by one.
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from indicator_market import Market, cpu_s, load_bars, per_s
from indicator_rivals import (
    RIVALS,
    WINDOW_BARS,
    measure_pandas_ta,
    measure_talib,
    measure_talipp,
    talib_batch_s,
    talib_streaming_s,
)

from vnpulse.batches import BarBatch
from vnpulse.demo.sample import DATA_DIR
from vnpulse.indicators.catalogue import KINDS, IndicatorSet, Spec, every_indicator, parse
from vnpulse.market import load_market
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

BATCH_SIZES = (1, 48, 1_600)
LONG_BATCH = 50_000
"""Rows a batch of a backfill."""


def new_engine(indicators: Sequence[str]) -> TechnicalEngine:
    # Not validated: the score's own indicators, which no other library has, would have to be there.
    settings = TechnicalSettings.model_construct(indicators=tuple(indicators))
    return TechnicalEngine(settings, load_market(), {})


def warmed_engine(indicators: Sequence[str], market: Market, history: int) -> tuple[TechnicalEngine, float]:
    """Return an engine that has seen the history by time, and the CPU seconds that took."""
    minutes = max(1, LONG_BATCH // len(market.symbols))
    stretches = [(begin, min(begin + minutes, history)) for begin in range(0, history, minutes)]
    return backfilled(indicators, (market.batch(slice(None), *stretch) for stretch in stretches))


def backfilled(indicators: Sequence[str], batches: Iterator[BarBatch]) -> tuple[TechnicalEngine, float]:
    """Return an engine that has applied the batches, and the CPU seconds that took."""
    engine = new_engine(indicators)
    spent = 0.0
    for batch in batches:
        before = time.process_time()
        engine.apply(batch)
        spent += time.process_time() - before
    return engine, spent


def live_rates(
    engine: TechnicalEngine, market: Market, first: int, rounds: int, sizes: Sequence[int]
) -> dict[int, float]:
    """Return seconds a bar by batch size, of the best of ``rounds`` rounds of all symbols."""
    rates = {}
    for size in sizes:
        seconds = []
        for minute in range(first, first + rounds):
            batches = list(market.batches(size, minute, minute + 1))
            before = time.process_time()
            for batch in batches:
                engine.apply(batch)
            seconds.append(time.process_time() - before)
        first += rounds
        rates[size] = min(seconds) / len(market.symbols)
    return rates


def bulk_s(specs: Sequence[Spec], market: Market, history: int) -> float:
    """Return the CPU seconds of IndicatorSet.compute over the history of every symbol."""
    indicators = IndicatorSet(specs)
    series = [np.ascontiguousarray(bars[:, :history]) for bars in market.bars]

    def work() -> None:
        for bars in series:
            indicators.compute(bars)

    return min(cpu_s(work) for _ in range(3))


def measure_ours(texts: Sequence[str], market: Market, history: int, rounds: int) -> dict[str, Any]:
    specs = [parse(text) for text in texts]
    indicators = IndicatorSet(specs)
    rows = len(market.symbols) * history
    new_engine(texts).apply(market.batch(slice(0, 1), 0, 1))  # compiled, or loaded, before it is timed
    gc.collect()
    before = psutil.Process().memory_info().rss
    engine, backfill = warmed_engine(texts, market, history)
    resident = psutil.Process().memory_info().rss - before
    carried = pickle.dumps(engine.snapshot())
    live = live_rates(engine, market, history, rounds, BATCH_SIZES)
    symbols = max(1, LONG_BATCH // history)
    groups = (slice(begin, begin + symbols) for begin in range(0, len(market.symbols), symbols))
    _, by_symbol = backfilled(texts, (market.batch(group, 0, history, by_symbol=True) for group in groups))
    return {
        "computed": list(indicators.output_names),
        "live_bars_per_s": {f"batches of {size}": per_s(1, seconds) for size, seconds in live.items()},
        "bulk_bars_per_s": per_s(rows, bulk_s(specs, market, history)),
        "backfill_bars_per_s": {"by time": per_s(rows, backfill), "by symbol": per_s(rows, by_symbol)},
        "warm_up_s": {"by time": round(backfill, 3), "by symbol": round(by_symbol, 3)},
        "restore_s": round(cpu_s(lambda: new_engine(texts).restore(pickle.loads(carried))), 3),
        "memory_per_symbol_bytes": {
            "indicator_state": indicators.state_size * 8,
            "snapshot": round(len(carried) / len(market.symbols)),
            "engine_with_its_history_rows": round(resident / len(market.symbols)),
        },
    }


def measure_each(market: Market, history: int, rounds: int) -> dict[str, Any]:
    """Return nanoseconds a bar of each of our indicators alone, and of its counterpart in TA-Lib.

    Live is in batches of the whole market, less what the engine takes with no indicator at all.
    """
    size = len(market.symbols)
    rows = size * history

    def live_ns(texts: Sequence[str]) -> float:
        engine, _ = warmed_engine(texts, market, history)
        return live_rates(engine, market, history, rounds, [size])[size] * 1e9

    nothing = live_ns([])
    each: dict[str, Any] = {"(the engine alone)": {"live": round(nothing)}}
    for spec in every_indicator():
        row: dict[str, float] = {
            "bulk": round(bulk_s([spec], market, history) / rows * 1e9, 1),
            "live": round(live_ns([str(spec)]) - nothing),
        }
        rivals = RIVALS.get(spec.kind)
        if rivals is not None:
            row["talib_bulk"] = round(talib_batch_s(rivals.talib, market, history) / rows * 1e9, 1)
            row["bulk_times_talib"] = round(row["talib_bulk"] / row["bulk"], 2)
            streamed = talib_streaming_s(rivals.talib, market, history, rounds) / size / rounds
            row["talib_streaming"] = round(streamed * 1e9)
        each[str(spec)] = row
    return each


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Return how many times as fast we are: live in the largest batches, bulk as IndicatorSet.compute."""
    ours = results["vnpulse"]
    live = ours["live_bars_per_s"][f"batches of {BATCH_SIZES[-1]}"]
    one = ours["live_bars_per_s"][f"batches of {BATCH_SIZES[0]}"]
    compared = {
        f"live, x {name}": live / results[name]["live_bars_per_s"]
        for name in ("talipp", "talib_streaming", "talib_window", "pandas_ta")
        if "live_bars_per_s" in results[name]
    }
    compared["live one bar at a time, x talib_streaming"] = (
        one / results["talib_streaming"]["live_bars_per_s"]
    )
    compared |= {
        f"bulk, x {name}": ours["bulk_bars_per_s"] / results[name]["bulk_bars_per_s"]
        for name in ("talib_batch", "pandas_ta")
        if "bulk_bars_per_s" in results[name]
    }
    compared |= {
        f"backfill {order}, x talib_batch": rate / results["talib_batch"]["bulk_bars_per_s"]
        for order, rate in ours["backfill_bars_per_s"].items()
    }
    return {name: float(f"{ratio:.3g}") for name, ratio in compared.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bars", type=Path, default=DATA_DIR / "bars_1m.parquet", metavar="FILE.parquet")
    parser.add_argument("--symbols", type=int, default=1_600)
    parser.add_argument("--history", type=int, default=500, help="bars a symbol before it goes live")
    parser.add_argument("--rounds", type=int, default=12, help="live bars a symbol, for each batch size")
    parser.add_argument("--no-each", action="store_true", help="leave out per_indicator")
    arguments = parser.parse_args()
    history, rounds = arguments.history, arguments.rounds
    if history < WINDOW_BARS:
        parser.error(f"--history was {history}, must be at least {WINDOW_BARS}")
    market = load_bars(arguments.bars, arguments.symbols, history + len(BATCH_SIZES) * rounds)
    shared = {
        kind: rivals
        for kind, rivals in RIVALS.items()
        if kind in KINDS and rivals.talipp is not None and rivals.pandas_ta is not None
    }
    texts = [str(parse(kind)) for kind in shared]
    results: dict[str, Any] = {"vnpulse": measure_ours(texts, market, history, rounds)}
    results |= measure_talib(
        [function for rivals in shared.values() for function in rivals.talib], market, history, rounds
    )
    results["talipp"] = measure_talipp(
        [rivals.talipp for rivals in shared.values() if rivals.talipp], market, history, rounds
    )
    results["pandas_ta"] = measure_pandas_ta(
        [rivals.pandas_ta for rivals in shared.values() if rivals.pandas_ta], market, history
    )
    report = {
        "python": platform.python_version(),
        "bars": arguments.bars.name,
        "symbols": len(market.symbols),
        "history_bars": history,
        "indicators": texts,
        "ratios": ratios(results),
        **results,
        "vnpulse_every_indicator": measure_ours(
            [str(spec) for spec in every_indicator()], market, history, rounds
        ),
    }
    if not arguments.no_each:
        report["per_indicator_ns_a_bar"] = measure_each(market, history, rounds)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
