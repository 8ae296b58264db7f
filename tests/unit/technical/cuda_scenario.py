"""Real bars as an engine meets them, and what it makes of them: the same for either kind of engine.

``python -m tests.unit.technical.cuda_scenario FILE SYMBOLS MINUTES`` writes, pickled, what the GPU's
engine makes of them; in numba's simulator if the environment says so.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from vnpulse.batches import BarBatch, Series
from vnpulse.demo.sample import DATA_DIR
from vnpulse.indicators.catalogue import every_indicator
from vnpulse.market import load_market
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

SETTINGS = TechnicalSettings(
    history_bars=64, late_bars=8, resample=("5m",), indicators=tuple(map(str, every_indicator()))
)


def batches(symbols: int, minutes: int) -> Iterator[BarBatch]:
    """Yield the file's first ``minutes`` of so many symbols: a history, then bars as they come.

    In the history, one batch, a bar of each symbol is missing. Then a minute comes three times, open,
    changed and closed, with its neighbour; then what is missing; the next minute, twice the same; and
    what is left in two batches, of which the last leaves one symbol alone.
    """
    table = pq.read_table(DATA_DIR / "bars_1m.parquet")
    names, codes = np.unique(table["symbol"].to_numpy(), return_inverse=True)
    time_ms = table["time"].cast("int64").to_numpy()
    moments = np.unique(time_ms[codes < symbols])[:minutes]
    chosen = (codes < symbols) & (time_ms <= moments[-1])
    order = np.flatnonzero(chosen)[np.lexsort((codes[chosen], time_ms[chosen]))]
    prices = np.stack([table[name].to_numpy() for name in ("open", "high", "low", "close")], axis=1)
    bars = BarBatch(
        topic="stock_prices_raw",
        partition=0,
        start_offset=0,
        next_offset=len(order),
        series=[Series(str(name), "1m") for name in names],
        codes=codes[order].astype(np.int32),
        time_ms=time_ms[order],
        prices=prices[order],
        volume=table["volume"].to_numpy()[order].astype(np.float64),
        closed=np.ones(len(order), np.bool_),
        offsets=np.arange(len(order)),
        append_ms=time_ms[order],
    )
    when = np.searchsorted(moments, bars.time_ms)
    late, forming = minutes - 12, minutes - 10
    yield _rows(bars, (when < forming) & (when != late))
    minute = _rows(bars, when == forming)
    opened = np.zeros(len(minute), np.bool_)
    yield replace(minute, closed=opened)
    yield replace(minute, closed=opened, prices=minute.prices * 1.01, volume=minute.volume + 100.0)
    yield replace(minute, volume=minute.volume + 200.0)
    yield _rows(bars, when == late)
    yield _rows(bars, (when == forming + 1) | (when == forming + 2))
    yield _rows(bars, when == forming + 2)
    yield _rows(bars, (when > forming + 2) & (when < minutes - 1))
    yield _rows(bars, (when == minutes - 1) & (bars.codes == 0))


def _rows(bars: BarBatch, chosen: Any) -> BarBatch:
    columns = ("codes", "time_ms", "prices", "volume", "closed", "offsets", "append_ms")
    return replace(bars, **{name: getattr(bars, name)[chosen].copy() for name in columns})


Step = tuple[list[int], list[int], dict[str, Any]]


def trace(make: Any, symbols: int, minutes: int) -> list[Step]:
    """Return for each batch the status of its rows, the totals, and what the engine knows, by name.

    Before the last batch the engine is replaced by one that takes its snapshot.
    """
    engine: TechnicalEngine = make(SETTINGS, load_market(), {})
    steps = []
    *most, last = batches(symbols, minutes)
    for batch in [*most, None, last]:
        if batch is None:
            taken = pickle.dumps(engine.snapshot())
            engine = make(SETTINGS, load_market(), {})
            engine.restore(pickle.loads(taken))
            continue
        status = engine.apply(batch).tolist()
        steps.append((status, engine.totals.tolist(), engine.snapshot().state))
    return steps


if __name__ == "__main__":
    from vnpulse.technical.cuda_engine import CudaTechnicalEngine

    made = trace(CudaTechnicalEngine, int(sys.argv[2]), int(sys.argv[3]))
    Path(sys.argv[1]).write_bytes(pickle.dumps(made))
