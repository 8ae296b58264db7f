"""The part of ``benchmarks/indicators.py`` for the machines that have a GPU: its engine beside the CPU's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from indicator_market import Market, per_s

from vnpulse.technical.device import gpu_problem
from vnpulse.technical.engine import TechnicalEngine


def measure_gpu(
    new_engine: Callable[[str], TechnicalEngine],
    market: Market,
    history: int,
    rounds: int,
    sizes: Sequence[int],
) -> dict[str, Any]:
    """Return bars a second by device, or why there is no GPU; ``new_engine`` takes the device.

    In seconds of the clock, not of the CPU, which waits meanwhile: on a quiet machine then.
    """
    problem = gpu_problem()
    if problem:
        return {"skipped": f"no GPU: {problem}"}
    from numba import cuda

    name = cuda.get_current_device().name
    return {
        "device": name.decode() if isinstance(name, bytes) else name,
        **{device: _rates(new_engine(device), market, history, rounds, sizes) for device in ("cpu", "cuda")},
    }


def _rates(
    engine: TechnicalEngine, market: Market, history: int, rounds: int, sizes: Sequence[int]
) -> dict[str, Any]:
    batches = [market.batch(slice(None), begin, min(begin + 32, history)) for begin in range(0, history, 32)]
    backfill = sum(_seconds(engine, [batch]) for batch in batches)
    live = {}
    first = history
    for size in sizes:
        minutes = range(first, first + rounds)
        seconds = min(_seconds(engine, list(market.batches(size, minute, minute + 1))) for minute in minutes)
        live[f"batches of {size}"] = per_s(len(market.symbols), seconds)
        first += rounds
    return {"backfill_bars_per_s": per_s(len(market.symbols) * history, backfill), "live_bars_per_s": live}


def _seconds(engine: TechnicalEngine, batches: list[Any]) -> float:
    before = time.perf_counter()
    for batch in batches:
        engine.apply(batch)
    return time.perf_counter() - before
