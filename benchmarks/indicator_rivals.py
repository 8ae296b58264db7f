"""What TA-Lib, talipp and pandas-ta have for our indicators, and how fast they are."""

from __future__ import annotations

import gc
import importlib
import itertools
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import psutil
import talib
import talib.stream
from indicator_market import Array, Market, cpu_s, per_s

from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN, VOLUME

WINDOW_BARS = 250
"""What libraries without state, or functions of the whole history, are given for a last value."""
SLOW_SYMBOLS = 48
"""Symbols of the libraries that need a minute for the whole market; fewer are easier on the caches."""
TRACED_SYMBOLS = 8
MORE_HANDLES = 4
"""Times as many handles as are needed, to see in the size of the process what one takes."""
RECOMPUTED_BARS = 10
"""Bars a symbol that pandas-ta, which has no state, is asked for live."""


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


Run = Callable[[int, int], float]
"""Takes the bars ``first .. last - 1`` of each symbol; returns CPU seconds a bar."""


def talib_batch_s(rivals: Sequence[Talib], market: Market, history: int) -> float:
    functions = [(getattr(talib, rival.function), rival) for rival in rivals]
    series = [np.ascontiguousarray(bars[:, :history]) for bars in market.bars]

    def work() -> None:
        for bars in series:
            for function, rival in functions:
                function(*(bars[column] for column in rival.inputs), **rival.parameters)

    return min(cpu_s(work) for _ in range(3))


def talib_history_s(
    rivals: Sequence[Talib], market: Market, history: int, size: int, by_symbol: bool, used: bool
) -> float:
    """Return CPU seconds a bar of TA-Lib over the batches that a backfill of ours gets, all outputs kept.

    It takes columns of one series: those of batches by symbol are cut out one batch after the other, and
    for those by time all of them are brought together first. On ``used`` memory, which the same work had
    before, or on what the process has just got from the kernel.
    """
    functions = [(getattr(talib, rival.function), rival) for rival in rivals]

    def outputs(columns: dict[int, Array], begin: int, end: int) -> list[Any]:
        series = {column: values[begin:end] for column, values in columns.items()}
        return [
            function(*(series[column] for column in rival.inputs), **rival.parameters)
            for function, rival in functions
        ]

    def work() -> tuple[list[Any], float]:
        kept, spent = [], 0.0
        batches = market.history(size, 0, history, by_symbol)
        for together in ([batch] for batch in batches) if by_symbol else [list(batches)]:
            before = time.process_time()
            codes = np.concatenate([batch.codes for batch in together])
            prices = np.concatenate([batch.prices for batch in together])
            columns = {OPEN: prices[:, 0], HIGH: prices[:, 1], LOW: prices[:, 2], CLOSE: prices[:, 3]}
            columns[VOLUME] = np.concatenate([batch.volume for batch in together])
            # Sixteen bits are sorted by radix.
            order = slice(None) if by_symbol else np.argsort(codes.astype(np.uint16), kind="stable")
            columns = {column: np.ascontiguousarray(values[order]) for column, values in columns.items()}
            bounds = [0, *np.cumsum(np.bincount(codes)).tolist()]
            kept += [outputs(columns, begin, end) for begin, end in itertools.pairwise(bounds)]
            spent += time.process_time() - before
        return kept, spent

    if used:
        work()
    gc.collect()
    return work()[1] / len(market.symbols) / history


def talib_handles(rivals: Sequence[Talib], bars: Array) -> list[tuple[Any, tuple[int, ...]]]:
    """Return a handle of talib.stream for each function, opened on the history in ``bars`` [6, n]."""
    handles = []
    for rival in rivals:
        inputs = (np.ascontiguousarray(bars[column]) for column in rival.inputs)
        handles.append((getattr(talib.stream, rival.function)(*inputs, **rival.parameters), rival.inputs))
    return handles


def talib_streaming(rivals: Sequence[Talib], market: Market, history: int) -> Run:
    """Open handles on the history; a run updates them with bars of each symbol, in the order of a feed."""
    states = [talib_handles(rivals, bars[:, :history]) for bars in market.bars]

    def run(first: int, last: int) -> float:
        live = market.bars[:, :, first:last].transpose(2, 0, 1).tolist()

        def work() -> None:
            for minute in live:
                for handles, bar in zip(states, minute, strict=True):
                    for handle, inputs in handles:
                        if len(inputs) == 1:
                            handle.update(bar[inputs[0]])
                        else:
                            handle.update(*[bar[column] for column in inputs])

        return cpu_s(work) / len(states) / (last - first)

    return run


def talib_window(rivals: Sequence[Talib], market: Market) -> Run:
    """A run computes each bar of each symbol of a window anew."""
    functions = [(getattr(talib, rival.function), rival) for rival in rivals]
    # The best case of a window: bars lie in one long buffer, so that a bar is a write and a slice.
    buffers = market.bars.copy()

    def run(first: int, last: int) -> float:
        def work() -> None:
            for minute in range(first, last):
                begin = minute + 1 - WINDOW_BARS
                for buffer, bars in zip(buffers, market.bars, strict=True):
                    buffer[:, minute] = bars[:, minute]
                    window = buffer[:, begin : minute + 1]
                    for function, rival in functions:
                        function(*(window[column] for column in rival.inputs), **rival.parameters)

        return cpu_s(work) / len(buffers) / (last - first)

    return run


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


def measure_talib(rivals: Sequence[Talib], market: Market, history: int) -> dict[str, Any]:
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
        "talib_batch": {"version": talib.__version__, "computed": computed},
        "talib_streaming": {
            "computed": computed,
            "warm_up_s": round(opening, 3),
            "memory_per_symbol_bytes": {"handles": round(resident / symbols)},
        },
        "talib_window": {
            "computed": computed,
            "window_bars": WINDOW_BARS,
            "memory_per_symbol_bytes": {"window": 5 * 8 * WINDOW_BARS},
            "worst_relative_error": float(f"{window_error(rivals, market, history):.2g}"),
        },
    }


def talipp_state(classes: dict[str, Any], rivals: Sequence[Talipp]) -> list[tuple[Any, bool]]:
    return [(classes[rival.name](*rival.parameters), rival.bars) for rival in rivals]


def measure_talipp(
    rivals: Sequence[Talipp], market: Market, history: int
) -> tuple[dict[str, Any], Run | None]:
    """Return what is known of talipp without a contest, and a run that adds bars to it."""
    try:
        module = importlib.import_module("talipp.indicators")
        ohlcv = importlib.import_module("talipp.ohlcv").OHLCV
    except ImportError:
        return {"skipped": "not installed"}, None
    classes = vars(module)

    def feed(states: list[list[tuple[Any, bool]]], series: list[list[list[float]]]) -> None:
        for at in range(len(series[0])):
            for state, bars in zip(states, series, strict=True):
                bar = ohlcv(*bars[at])
                for indicator, wants_bar in state:
                    indicator.add(bar if wants_bar else bar.close)

    bars = market.bars[:SLOW_SYMBOLS, [OPEN, HIGH, LOW, CLOSE, VOLUME]].transpose(0, 2, 1)
    past = [one[:history].tolist() for one in bars]
    states = [talipp_state(classes, rivals) for _ in bars]
    warmed = cpu_s(lambda: feed(states, past))

    def run(first: int, last: int) -> float:
        live = [one[first:last].tolist() for one in bars]
        return cpu_s(lambda: feed(states, live)) / len(bars) / (last - first)

    tracemalloc.start()
    traced = [talipp_state(classes, rivals) for _ in range(TRACED_SYMBOLS)]
    feed(traced, past[:TRACED_SYMBOLS])
    memory = tracemalloc.get_traced_memory()[0] / TRACED_SYMBOLS
    tracemalloc.stop()
    known = {
        "computed": [rival.name for rival in rivals],
        "symbols": len(bars),
        "warm_up_s": round(warmed * len(market.symbols) / len(bars), 1),
        "memory_per_symbol_bytes": {"indicators_with_all_their_past": round(memory)},
    }
    return known, run


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
