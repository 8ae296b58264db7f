"""A market of the wanted size made of real bars, and how work on it is timed."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import mmap
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from vnpulse.batches import BarBatch, Series
from vnpulse.indicators.columns import BAR_ROWS, CLOSE, HIGH, LOW, OPEN, TIME, VOLUME

Array = NDArray[np.float64]


BACKED_BYTES = 5 * 2**27
"""More than any of the libraries asks for."""


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

    def history(self, size: int, first: int, last: int, by_symbol: bool) -> Iterator[BarBatch]:
        """Yield the bars ``first .. last - 1`` of all symbols, ``size`` rows at a time, in either order."""
        if by_symbol:
            step = max(1, size // (last - first))
            for begin in range(0, len(self.symbols), step):
                yield self.batch(slice(begin, begin + step), first, last, by_symbol=True)
        else:
            step = max(1, size // len(self.symbols))
            for begin in range(first, last, step):
                yield self.batch(slice(None), begin, min(begin + step, last))


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


class BackedMemory:
    """Memory that is lent to one measurement after the other, so that what they get from the kernel is alike.

    It is new to whoever gets it, but known to the host of a virtual machine, which takes back what is free
    for some seconds: the first touch then costs ten times as much, and whom that hits depends on who freed
    what shortly before.
    """

    def __init__(self) -> None:
        self._take()

    def _take(self) -> None:
        self._held = mmap.mmap(-1, BACKED_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._held.madvise(mmap.MADV_HUGEPAGE)
        for page in range(0, BACKED_BYTES, mmap.PAGESIZE):
            self._held[page] = 1

    def lend(self, measure: Callable[[], float]) -> float:
        """Return what ``measure`` returns, with this memory the next that the kernel has to give."""
        ctypes.CDLL(None).malloc_trim(0)
        self._held.close()
        seconds = measure()
        self._take()
        return seconds


def cpu_s(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that ``work`` takes."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def per_s(rows: int, seconds: float) -> int:
    """Return rows a second, to four digits: what follows is noise."""
    return int(float(f"{rows / seconds:.4g}"))
