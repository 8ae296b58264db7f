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
import importlib
import itertools
import json
import math
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import talib
import talib.stream
from numpy.typing import NDArray

from vnpulse.batches import BarBatch, Series
from vnpulse.demo.sample import DATA_DIR
from vnpulse.indicators.catalogue import KINDS, IndicatorSet, Spec, every_indicator, parse
from vnpulse.indicators.columns import BAR_ROWS, CLOSE, HIGH, LOW, OPEN, TIME, VOLUME
from vnpulse.market import load_market
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

BATCH_SIZES = (1, 48, 1_600)
LONG_BATCH = 50_000
"""Rows a batch of a backfill."""
WINDOW_BARS = 250
"""What libraries without state, or functions of the whole history, are given for a last value."""
SLOW_SYMBOLS = 48
"""Symbols of the libraries that need a minute for the whole market; fewer are easier on the caches."""
TRACED_SYMBOLS = 8
MORE_HANDLES = 4
"""Times as many handles as are needed, to see in the size of the process what one takes."""
RECOMPUTED_BARS = 10
"""Bars a symbol that pandas-ta, which has no state, is asked for live."""

Array = NDArray[np.float64]


class Talib(NamedTuple):
    """A function of TA-Lib and of talib.stream."""

    function: str
    inputs: tuple[int, ...]
    parameters: dict[str, float]


class Talipp(NamedTuple):
    """A class of talipp; it takes closing prices or whole bars."""

    name: str
    parameters: tuple[float, ...] = ()
    bars: bool = False


class PandasTa(NamedTuple):
    """A function of pandas-ta."""

    function: str
    inputs: tuple[str, ...]
    parameters: dict[str, float]


class Rivals(NamedTuple):
    """What others have for one of our indicators with its default parameters."""

    talib: tuple[Talib, ...]
    talipp: Talipp | None = None
    pandas_ta: PandasTa | None = None


CLOSES, CLOSE_NAMES = (CLOSE,), ("close",)
RANGE, RANGE_NAMES = (HIGH, LOW, CLOSE), ("high", "low", "close")
EXTREMES, EXTREME_NAMES = (HIGH, LOW), ("high", "low")


def _of_period(taken: str, period: int, names: tuple[str, str, str]) -> Rivals:
    """Return what has the period as its only parameter; ``names`` in TA-Lib, talipp and pandas-ta."""
    inputs, input_names = {
        "close": (CLOSES, CLOSE_NAMES),
        "range": (RANGE, RANGE_NAMES),
        "extremes": (EXTREMES, EXTREME_NAMES),
    }[taken]
    function, class_name, other = names
    return Rivals(
        (Talib(function, inputs, {"timeperiod": period}),),
        Talipp(class_name, (period,), bars=taken != "close"),
        PandasTa(other, input_names, {"length": period}),
    )


RIVALS: dict[str, Rivals] = {
    "sma": _of_period("close", 20, ("SMA", "SMA", "sma")),
    "ema": _of_period("close", 12, ("EMA", "EMA", "ema")),
    "wma": _of_period("close", 20, ("WMA", "WMA", "wma")),
    "macd": Rivals(
        (Talib("MACD", CLOSES, {"fastperiod": 12, "slowperiod": 26, "signalperiod": 9}),),
        Talipp("MACD", (12, 26, 9)),
        PandasTa("macd", CLOSE_NAMES, {"fast": 12, "slow": 26, "signal": 9}),
    ),
    "rsi": _of_period("close", 14, ("RSI", "RSI", "rsi")),
    "stoch": Rivals(
        (Talib("STOCH", RANGE, {"fastk_period": 14, "slowk_period": 3, "slowd_period": 3}),),
    ),
    "stochf": Rivals(
        (Talib("STOCHF", RANGE, {"fastk_period": 14, "fastd_period": 3}),),
        Talipp("Stoch", (14, 3), bars=True),
        PandasTa("stoch", RANGE_NAMES, {"k": 14, "d": 3, "smooth_k": 1}),
    ),
    "stochrsi": Rivals(
        (Talib("STOCHRSI", CLOSES, {"timeperiod": 14, "fastk_period": 14, "fastd_period": 3}),),
    ),
    "bb": Rivals(
        (Talib("BBANDS", CLOSES, {"timeperiod": 20, "nbdevup": 2.0, "nbdevdn": 2.0}),),
        Talipp("BB", (20, 2.0)),
        PandasTa("bbands", CLOSE_NAMES, {"length": 20, "std": 2.0}),
    ),
    "atr": _of_period("range", 14, ("ATR", "ATR", "atr")),
    "natr": _of_period("range", 14, ("NATR", "NATR", "natr")),
    "adx": Rivals(
        tuple(Talib(name, RANGE, {"timeperiod": 14}) for name in ("ADX", "PLUS_DI", "MINUS_DI")),
        Talipp("ADX", (14, 14), bars=True),
        PandasTa("adx", RANGE_NAMES, {"length": 14}),
    ),
    # Not in the comparison: talipp divides by zero where a price stands still, as real ones do.
    "cci": Rivals((Talib("CCI", RANGE, {"timeperiod": 20}),)),
    "willr": _of_period("range", 14, ("WILLR", "Williams", "willr")),
    "mfi": Rivals((Talib("MFI", (HIGH, LOW, CLOSE, VOLUME), {"timeperiod": 14}),)),
    "obv": Rivals(
        (Talib("OBV", (CLOSE, VOLUME), {}),),
        Talipp("OBV", bars=True),
        PandasTa("obv", ("close", "volume"), {}),
    ),
    "roc": _of_period("close", 10, ("ROC", "ROC", "roc")),
    "mom": Rivals((Talib("MOM", CLOSES, {"timeperiod": 10}),)),
    "aroon": _of_period("extremes", 14, ("AROON", "Aroon", "aroon")),
    "sar": Rivals(
        (Talib("SAR", EXTREMES, {"acceleration": 0.02, "maximum": 0.2}),),
        Talipp("ParabolicSAR", (0.02, 0.02, 0.2), bars=True),
        PandasTa("psar", RANGE_NAMES, {"af0": 0.02, "af": 0.02, "max_af": 0.2}),
    ),
}


class Market(NamedTuple):
    """``bars`` float64 [symbols, 6, n], and all symbols have the times of the first."""

    symbols: list[str]
    bars: Array

    def batch(self, chosen: slice, first: int, last: int, by_symbol: bool = False) -> BarBatch:
        """Return the bars ``first .. last - 1`` of the chosen symbols as a feed sends them, by time."""
        names = self.symbols[chosen]
        order = (0, 2, 1) if by_symbol else (2, 0, 1)
        rows = np.ascontiguousarray(self.bars[chosen, :, first:last].transpose(order)).reshape(-1, BAR_ROWS)
        codes = np.arange(len(names), dtype=np.int32)
        offsets = np.arange(len(rows), dtype=np.int64)
        return BarBatch(
            topic="benchmark",
            partition=-1,
            start_offset=0,
            next_offset=len(rows),
            series=[Series(name, "1m") for name in names],
            codes=np.repeat(codes, last - first) if by_symbol else np.tile(codes, last - first),
            time_ms=rows[:, TIME].astype(np.int64),
            prices=np.ascontiguousarray(rows[:, [OPEN, HIGH, LOW, CLOSE]]),
            volume=np.ascontiguousarray(rows[:, VOLUME]),
            closed=np.ones(len(rows), np.bool_),
            offsets=offsets,
            append_ms=offsets,
        )

    def batches(self, size: int, first: int, last: int) -> Iterator[BarBatch]:
        """Yield the bars ``first .. last - 1`` of all symbols, ``size`` rows of one minute at a time."""
        for minute in range(first, last):
            for begin in range(0, len(self.symbols), size):
                yield self.batch(slice(begin, begin + size), minute, minute + 1)


def load_bars(path: Path, symbols: int, needed: int) -> Market:
    """Return so many symbols with ``needed`` bars each, made of those in a parquet file."""
    table = pa_parquet.read_table(path, columns=["symbol", "time", "open", "high", "low", "close", "volume"])
    names = table["symbol"].to_numpy()
    times = table["time"].cast(pa.timestamp("ms", "Asia/Ho_Chi_Minh")).cast(pa.int64()).to_numpy()
    values = np.array([table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")], float)
    minutes = np.unique(times)
    found: dict[str, Array] = {}
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        if len(rows) >= needed:
            found[name] = values[:, rows[np.argsort(times[rows], kind="stable")]]
    if not found:
        sys.exit(f"{path}: no symbol has the {needed} bars that are needed; ask for less --history")
    copies = math.ceil(symbols / len(found))
    made, bars = [], np.empty((symbols, BAR_ROWS, needed))
    for number, (copy, name) in enumerate(itertools.product(range(copies), found)):
        if number == symbols:
            break
        begin = copy % (found[name].shape[1] - needed + 1)
        bars[number, :TIME] = found[name][:, begin : begin + needed]
        bars[number, TIME] = minutes[:needed]
        made.append(f"{name}{copy}")
    return Market(made, bars)


def cpu_s(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that ``work`` takes."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def per_s(rows: int, seconds: float) -> int:
    """Return rows a second, to four digits: what follows is noise."""
    return int(float(f"{rows / seconds:.4g}"))


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
        "memory_per_symbol_bytes": {
            "indicator_state": indicators.state_size * 8,
            "engine_with_its_history_rows": round(resident / len(market.symbols)),
        },
    }


def talib_batch_s(rivals: Sequence[Talib], market: Market, history: int) -> float:
    functions = [(getattr(talib, rival.function), rival) for rival in rivals]
    series = [np.ascontiguousarray(bars[:, :history]) for bars in market.bars]

    def work() -> None:
        for bars in series:
            for function, rival in functions:
                function(*(bars[column] for column in rival.inputs), **rival.parameters)

    return min(cpu_s(work) for _ in range(3))


def talib_handles(rivals: Sequence[Talib], bars: Array) -> list[tuple[Any, tuple[int, ...]]]:
    """Return a handle of talib.stream for each function, opened on the history in ``bars`` [6, n]."""
    handles = []
    for rival in rivals:
        inputs = (np.ascontiguousarray(bars[column]) for column in rival.inputs)
        handles.append((getattr(talib.stream, rival.function)(*inputs, **rival.parameters), rival.inputs))
    return handles


def talib_streaming_s(rivals: Sequence[Talib], market: Market, history: int, rounds: int) -> float:
    """Return the CPU seconds of ``rounds`` bars of each symbol, in the order of a feed."""
    states = [talib_handles(rivals, bars[:, :history]) for bars in market.bars]
    live = market.bars[:, :, history : history + rounds].transpose(2, 0, 1).tolist()

    def work() -> None:
        for minute in live:
            for handles, bar in zip(states, minute, strict=True):
                for handle, inputs in handles:
                    if len(inputs) == 1:
                        handle.update(bar[inputs[0]])
                    else:
                        handle.update(*[bar[column] for column in inputs])

    return cpu_s(work)


def talib_window_s(rivals: Sequence[Talib], market: Market, history: int, rounds: int) -> float:
    """Return the CPU seconds of ``rounds`` bars of each symbol, each computed of a window anew."""
    functions = [(getattr(talib, rival.function), rival) for rival in rivals]
    # The best case of a window: bars lie in one long buffer, so that a bar is a write and a slice.
    buffers = market.bars.copy()

    def work() -> None:
        for minute in range(history, history + rounds):
            begin = minute + 1 - WINDOW_BARS
            for buffer, bars in zip(buffers, market.bars, strict=True):
                buffer[:, minute] = bars[:, minute]
                window = buffer[:, begin : minute + 1]
                for function, rival in functions:
                    function(*(window[column] for column in rival.inputs), **rival.parameters)

    return cpu_s(work)


def window_error(rivals: Sequence[Talib], market: Market, history: int) -> float:
    """Return the worst relative error of a last value from a window instead of the whole history."""
    worst = 0.0
    for bars in market.bars[:SLOW_SYMBOLS]:
        for rival in rivals:
            inputs = [np.ascontiguousarray(bars[column, :history]) for column in rival.inputs]
            function = getattr(talib, rival.function)
            whole = np.atleast_2d(function(*inputs, **rival.parameters))[:, -1]
            recent = (column[-WINDOW_BARS:] for column in inputs)
            last = np.atleast_2d(function(*recent, **rival.parameters))[:, -1]
            worst = max(worst, float((np.abs(last - whole) / np.maximum(np.abs(whole), 1e-3)).max()))
    return worst


def measure_talib(rivals: Sequence[Talib], market: Market, history: int, rounds: int) -> dict[str, Any]:
    symbols = len(market.symbols)
    computed = [rival.function for rival in rivals]
    opened: list[Any] = []

    def open_handles() -> None:
        opened.extend(talib_handles(rivals, bars[:, :history]) for bars in market.bars)

    opening = cpu_s(open_handles)
    # What others freed before is used up by now, so that the process grows by what handles take.
    before = psutil.Process().memory_info().rss
    for _ in range(MORE_HANDLES):
        open_handles()
    resident = (psutil.Process().memory_info().rss - before) / MORE_HANDLES
    opened.clear()
    return {
        "talib_batch": {
            "version": talib.__version__,
            "computed": computed,
            "bulk_bars_per_s": per_s(symbols * history, talib_batch_s(rivals, market, history)),
        },
        "talib_streaming": {
            "computed": computed,
            "live_bars_per_s": per_s(symbols * rounds, talib_streaming_s(rivals, market, history, rounds)),
            "warm_up_s": round(opening, 3),
            "memory_per_symbol_bytes": {"handles": round(resident / symbols)},
        },
        "talib_window": {
            "computed": computed,
            "window_bars": WINDOW_BARS,
            "live_bars_per_s": per_s(symbols * rounds, talib_window_s(rivals, market, history, rounds)),
            "memory_per_symbol_bytes": {"window": 5 * 8 * WINDOW_BARS},
            "worst_relative_error": float(f"{window_error(rivals, market, history):.2g}"),
        },
    }


def talipp_state(classes: dict[str, Any], rivals: Sequence[Talipp]) -> list[tuple[Any, bool]]:
    return [(classes[rival.name](*rival.parameters), rival.bars) for rival in rivals]


def measure_talipp(rivals: Sequence[Talipp], market: Market, history: int, rounds: int) -> dict[str, Any]:
    try:
        module = importlib.import_module("talipp.indicators")
        ohlcv = importlib.import_module("talipp.ohlcv").OHLCV
    except ImportError:
        return {"skipped": "not installed"}
    classes = vars(module)

    def feed(states: list[list[tuple[Any, bool]]], series: list[list[list[float]]]) -> None:
        for at in range(len(series[0])):
            for state, bars in zip(states, series, strict=True):
                bar = ohlcv(*bars[at])
                for indicator, wants_bar in state:
                    indicator.add(bar if wants_bar else bar.close)

    columns = [OPEN, HIGH, LOW, CLOSE, VOLUME]
    bars = market.bars[:SLOW_SYMBOLS, columns].transpose(0, 2, 1)
    past = [one[:history].tolist() for one in bars]
    live = [one[history : history + rounds].tolist() for one in bars]
    states = [talipp_state(classes, rivals) for _ in bars]
    warmed = cpu_s(lambda: feed(states, past))
    spent = cpu_s(lambda: feed(states, live))
    tracemalloc.start()
    traced = [talipp_state(classes, rivals) for _ in range(TRACED_SYMBOLS)]
    feed(traced, past[:TRACED_SYMBOLS])
    memory = tracemalloc.get_traced_memory()[0] / TRACED_SYMBOLS
    tracemalloc.stop()
    return {
        "computed": [rival.name for rival in rivals],
        "symbols": len(bars),
        "live_bars_per_s": per_s(len(bars) * rounds, spent),
        "warm_up_s": round(warmed * len(market.symbols) / len(bars), 1),
        "memory_per_symbol_bytes": {"indicators_with_all_their_past": round(memory)},
    }


def measure_pandas_ta(rivals: Sequence[PandasTa], market: Market, history: int) -> dict[str, Any]:
    for name in ("pandas_ta_classic", "pandas_ta"):
        try:
            library = importlib.import_module(name)
            break
        except ImportError:
            continue
    else:
        return {"skipped": "not installed"}
    pandas = importlib.import_module("pandas")

    def frame(bars: Array) -> Any:
        columns = ("open", "high", "low", "close", "volume")
        return pandas.DataFrame({name: bars[row].copy() for row, name in enumerate(columns)})

    def work(frames: list[Any]) -> None:
        for one in frames:
            for rival in rivals:
                inputs = [one[column] for column in rival.inputs]
                # Its own code, not TA-Lib's, which it prefers where that is installed.
                getattr(library, rival.function)(*inputs, **rival.parameters, talib=False)

    whole = [frame(bars[:, :history]) for bars in market.bars[:SLOW_SYMBOLS]]
    windows = [
        frame(bars[:, end - WINDOW_BARS : end])
        for end in range(history - RECOMPUTED_BARS, history)
        for bars in market.bars[:SLOW_SYMBOLS]
    ]
    work(whole[:1])
    bulk = cpu_s(lambda: work(whole))
    return {
        "library": name,
        "computed": [rival.function for rival in rivals],
        "symbols": len(whole),
        "bulk_bars_per_s": per_s(len(whole) * history, bulk),
        "live_bars_per_s": per_s(len(windows), cpu_s(lambda: work(windows))),
        "window_bars": WINDOW_BARS,
        "memory_per_symbol_bytes": {"window": 5 * 8 * WINDOW_BARS},
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
