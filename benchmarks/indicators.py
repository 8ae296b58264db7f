"""Our indicators beside TA-Lib, talipp and pandas-ta, on the same bars in one run, as JSON.

Run by hand on a quiet machine: ``.venv/bin/python benchmarks/indicators.py``. talipp and pandas-ta
(or pandas-ta-classic) are compared where they are installed; a folder will do (``uv pip install
--target FOLDER talipp pandas-ta-classic``, then ``PYTHONPATH=FOLDER``).

Everything runs in one thread, and times are CPU seconds of this process. What else the machine does
still counts, by the caches that it takes; so all libraries take turns, a ratio is taken within each
turn, and of the ratios of all turns the median and the range are given. A market of the wanted size
is made of the file's symbols under other names, each copy beginning a bar later than the one before.
The comparison is over the indicators that all of the libraries have; ``per_indicator`` has ours one by one.
Where there is a GPU, ``gpu_beside_cpu`` has both by the clock, which is what somebody waits for.
"""

from __future__ import annotations

import argparse
import gc
import json
import pickle
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from indicator_gpu import measure_gpu
from indicator_market import BackedMemory, Market, cpu_s, load_bars, per_s
from indicator_rivals import (
    RIVALS,
    WINDOW_BARS,
    measure_pandas_ta,
    measure_talib,
    measure_talipp,
    talib_batch_s,
    talib_history_s,
    talib_streaming,
    talib_window,
)

from vnpulse.demo.sample import DATA_DIR
from vnpulse.indicators.catalogue import KINDS, IndicatorSet, Spec, every_indicator, parse
from vnpulse.market import load_market
from vnpulse.technical.device import open_engine
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

BATCH_SIZES = (1, 48, 1_600)
LONG_BATCH = 50_000
"""Rows a batch of a backfill."""


def new_engine(indicators: Sequence[str], device: str = "cpu") -> TechnicalEngine:
    # Not validated: the score's own indicators, which no other library has, would have to be there.
    settings = TechnicalSettings.model_construct(indicators=tuple(indicators), device=device)
    return open_engine(settings, load_market(), {})


def warmed_engine(indicators: Sequence[str], market: Market, history: int) -> tuple[TechnicalEngine, float]:
    """Return an engine that has seen the history by time, and the CPU seconds that took."""
    engine = new_engine(indicators)
    minutes = max(1, LONG_BATCH // len(market.symbols))
    spent = 0.0
    for begin in range(0, history, minutes):
        batch = market.batch(slice(None), begin, min(begin + minutes, history))
        before = time.process_time()
        engine.apply(batch)
        spent += time.process_time() - before
    return engine, spent


def live_s(engine: TechnicalEngine, market: Market, first: int, last: int, size: int) -> float:
    """Return CPU seconds a bar of the bars ``first .. last - 1`` of all symbols, in batches of ``size``."""
    batches = list(market.batches(size, first, last))

    def work() -> None:
        for batch in batches:
            engine.apply(batch)

    return cpu_s(work) / len(market.symbols) / (last - first)


def backfill_s(indicators: Sequence[str], market: Market, history: int, by_symbol: bool, used: bool) -> float:
    """Return CPU seconds a bar of a backfill by a new engine, up to where every output can be read.

    On ``used`` memory, or on what the process has just got from the kernel.
    """
    engine = new_engine(indicators)
    first = int(used)
    if used:
        engine.apply(market.batch(slice(None), 0, 1))
        for array in (engine.bars, engine.marks, engine.outputs):
            array[:] = array
    spent = 0.0
    for batch in market.history(LONG_BATCH, first, history, by_symbol):
        before = time.process_time()
        engine.apply(batch)
        spent += time.process_time() - before
    before = time.process_time()
    # Indicators that still wait are computed when outputs are read.
    _ = engine.outputs
    spent += time.process_time() - before
    return spent / len(market.symbols) / (history - first)


def bulk_s(specs: Sequence[Spec], market: Market, history: int) -> float:
    """Return the CPU seconds a bar of IndicatorSet.compute over the history of every symbol."""
    indicators = IndicatorSet(specs)
    series = [np.ascontiguousarray(bars[:, :history]) for bars in market.bars]

    def work() -> None:
        for bars in series:
            indicators.compute(bars)

    return min(cpu_s(work) for _ in range(3)) / len(series) / history


def measure_ours(
    texts: Sequence[str], market: Market, history: int
) -> tuple[dict[str, Any], TechnicalEngine]:
    """Return what is known of ours without a contest, and an engine that has seen the history."""
    indicators = IndicatorSet([parse(text) for text in texts])
    new_engine(texts).apply(market.batch(slice(0, 1), 0, 1))  # compiled, or loaded, before it is timed
    gc.collect()
    before = psutil.Process().memory_info().rss
    engine, spent = warmed_engine(texts, market, history)
    resident = psutil.Process().memory_info().rss - before
    carried = pickle.dumps(engine.snapshot())
    known = {
        "computed": list(indicators.output_names),
        "warm_up_s": round(spent, 3),
        "restore_s": round(cpu_s(lambda: new_engine(texts).restore(pickle.loads(carried))), 3),
        "memory_per_symbol_bytes": {
            "indicator_state": indicators.state_size * 8,
            "snapshot": round(len(carried) / len(market.symbols)),
            "engine_with_its_history_rows": round(resident / len(market.symbols)),
        },
    }
    return known, engine


def contest(candidates: Mapping[str, Callable[[int], float]], turns: int) -> dict[str, list[float]]:
    """Return seconds a bar of every candidate in each turn; a candidate is told the number of its turn."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(turns):
        for name, run in candidates.items():
            taken[name].append(run(turn))
    return taken


def rates(taken: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Return bars a second of the median turn."""
    return {name: per_s(1, statistics.median(seconds)) for name, seconds in taken.items()}


def times_as_fast(taken: Mapping[str, Sequence[float]], ours: str, others: Sequence[str]) -> dict[str, Any]:
    """Return by how much ``ours`` beats each of the others: median, least and most of the turns."""
    compared = {}
    for other in others:
        ratios = [theirs / own for theirs, own in zip(taken[other], taken[ours], strict=True)]
        spread = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        compared[f"{ours}, x {other}"] = {name: float(f"{ratio:.3g}") for name, ratio in spread.items()}
    return compared


def measure_each(market: Market, history: int, rounds: int) -> dict[str, Any]:
    """Return nanoseconds a bar of each of our indicators alone, and of its counterpart in TA-Lib.

    Live is in batches of the whole market, less what the engine takes with no indicator at all.
    """
    size = len(market.symbols)
    rows = size * history

    def live_ns(texts: Sequence[str]) -> float:
        engine, _ = warmed_engine(texts, market, history)
        minutes = range(history, history + rounds)
        return min(live_s(engine, market, minute, minute + 1, size) for minute in minutes) * 1e9

    nothing = live_ns([])
    each: dict[str, Any] = {"(the engine alone)": {"live": round(nothing)}}
    for spec in every_indicator():
        row: dict[str, float] = {
            "bulk": round(bulk_s([spec], market, history) * 1e9, 1),
            "live": round(live_ns([str(spec)]) - nothing),
        }
        rivals = RIVALS.get(spec.kind)
        if rivals is not None:
            row["talib_bulk"] = round(talib_batch_s(rivals.talib, market, history) / rows * 1e9, 1)
            row["bulk_times_talib"] = round(row["talib_bulk"] / row["bulk"], 2)
            streamed = talib_streaming(rivals.talib, market, history)(history, history + rounds)
            row["talib_streaming"] = round(streamed * 1e9)
        each[str(spec)] = row
    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bars", type=Path, default=DATA_DIR / "bars_1m.parquet", metavar="FILE.parquet")
    parser.add_argument("--symbols", type=int, default=1_600)
    parser.add_argument("--history", type=int, default=500, help="bars a symbol before it goes live")
    parser.add_argument("--rounds", type=int, default=6, help="live bars a symbol, a turn and batch size")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--no-each", action="store_true", help="leave out per_indicator")
    arguments = parser.parse_args()
    history, rounds, turns = arguments.history, arguments.rounds, arguments.turns
    if history < WINDOW_BARS:
        parser.error(f"--history was {history}, must be at least {WINDOW_BARS}")
    market = load_bars(arguments.bars, arguments.symbols, history + len(BATCH_SIZES) * rounds * turns)
    shared = {
        kind: rivals
        for kind, rivals in RIVALS.items()
        if kind in KINDS and rivals.talipp is not None and rivals.pandas_ta is not None
    }
    texts = [str(parse(kind)) for kind in shared]
    specs = [parse(text) for text in texts]
    talib_functions = [function for rivals in shared.values() for function in rivals.talib]
    ours, engine = measure_ours(texts, market, history)
    talipp, talipp_run = measure_talipp(
        [rivals.talipp for rivals in shared.values() if rivals.talipp], market, history
    )
    runs = {
        "talib_streaming": talib_streaming(talib_functions, market, history),
        "talib_window": talib_window(talib_functions, market),
        **({"talipp": talipp_run} if talipp_run is not None else {}),
    }

    def live(turn: int, size: int) -> float:
        first = history + (turn * len(BATCH_SIZES) + BATCH_SIZES.index(size)) * rounds
        return live_s(engine, market, first, first + rounds, size)

    by_size = {f"batches of {size}": size for size in BATCH_SIZES}
    lived = contest(
        {name: partial(live, size=size) for name, size in by_size.items()}
        | {
            name: lambda turn, run=run: run(history + turn * rounds, history + (turn + 1) * rounds)
            for name, run in runs.items()
        },
        turns,
    )
    backed = BackedMemory()
    filled = contest(
        {
            "talib_batch": lambda _: (
                talib_batch_s(talib_functions, market, history) / len(market.symbols) / history
            ),
            "compute": lambda _: bulk_s(specs, market, history),
        }
        | {
            f"{name} by {order}, {memory} memory": partial(
                lambda _, measure, by_symbol, used: backed.lend(lambda: measure(by_symbol, used)),
                measure=measure,
                by_symbol=order == "symbol",
                used=memory == "used",
            )
            for order in ("time", "symbol")
            for memory in ("used", "new")
            for name, measure in (
                ("backfill", partial(backfill_s, texts, market, history)),
                ("talib", partial(talib_history_s, talib_functions, market, history, LONG_BATCH)),
            )
        },
        turns,
    )
    largest = f"batches of {BATCH_SIZES[-1]}"
    every = [str(spec) for spec in every_indicator()]
    every_known, every_engine = measure_ours(every, market, history)
    every_live = min(
        live_s(every_engine, market, minute, minute + 1, BATCH_SIZES[-1])
        for minute in range(history, history + rounds)
    )
    report = {
        "python": platform.python_version(),
        "bars": arguments.bars.name,
        "symbols": len(market.symbols),
        "history_bars": history,
        "indicators": texts,
        "turns": turns,
        "ratios": {
            **times_as_fast(lived, largest, list(runs)),
            **times_as_fast(lived, "batches of 1", ["talib_streaming"]),
            **{
                name: spread
                for one in filled
                if not one.startswith("talib")
                for name, spread in times_as_fast(
                    filled,
                    one,
                    ["talib_batch", *[same for same in filled if same == one.replace("backfill", "talib")]],
                ).items()
                if not name.endswith("x " + one)
            },
        },
        "live_bars_per_s": rates(lived),
        "bulk_bars_per_s": rates(filled),
        "vnpulse": ours,
        **measure_talib(talib_functions, market, history),
        "talipp": talipp,
        "pandas_ta": measure_pandas_ta(
            [rivals.pandas_ta for rivals in shared.values() if rivals.pandas_ta], market, history
        ),
        "vnpulse_every_indicator": {
            **every_known,
            "live_bars_per_s": {largest: per_s(1, every_live)},
            "bulk_bars_per_s": per_s(1, bulk_s(every_indicator(), market, history)),
        },
        "gpu_beside_cpu": measure_gpu(
            lambda device: new_engine(texts, device), market, history, rounds, BATCH_SIZES
        ),
    }
    if not arguments.no_each:
        report["per_indicator_ns_a_bar"] = measure_each(market, history, rounds)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
