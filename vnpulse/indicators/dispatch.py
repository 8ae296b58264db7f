"""The compiled interpreter of indicator sets: which indicators run is data, so nothing is compiled anew.

A program has a row for each indicator: its opcode, where its state begins, its first output.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from numba import types
from numpy.typing import NDArray

from vnpulse.indicators import (
    activity,
    adx,
    aroon,
    atr,
    bollinger,
    cci,
    columns,
    compiled,
    donchian,
    ema,
    fast_stochastic,
    high_low,
    ichimoku,
    keltner,
    macd,
    mfi,
    momentum,
    natr,
    obv,
    parabolic_sar,
    rate_of_change,
    realised_volatility,
    rsi,
    sma,
    stochastic,
    stochastic_rsi,
    supertrend,
    volume_z,
    vwap,
    williams_r,
    windows,
    wma,
)
from vnpulse.indicators.compiled import compiled_for

MODULES: tuple[ModuleType, ...] = (
    sma,
    ema,
    wma,
    macd,
    rsi,
    stochastic,
    fast_stochastic,
    stochastic_rsi,
    bollinger,
    atr,
    natr,
    adx,
    cci,
    williams_r,
    mfi,
    obv,
    rate_of_change,
    momentum,
    aroon,
    parabolic_sar,
    keltner,
    donchian,
    supertrend,
    ichimoku,
    vwap,
    volume_z,
    high_low,
    realised_volatility,
    activity,
)
"""Every indicator; its place here is its opcode in ``run_program``."""

OPCODE, STATE_AT, COLUMN = range(3)
PROGRAM_COLUMNS = 3
MOST_PARAMETERS = 3

CHUNK = 128
"""Rows that one indicator after the other runs over: their bars and outputs stay in the nearest caches."""


def source_digest() -> int:
    """Return a checksum of the source of everything that ``run_program`` compiles in.

    numba's cache notices a change of the file of a compiled function but not of the functions
    that it calls in other files, and would go on running the old ones. Constants of a closure
    are part of its key: this one is.
    """
    checksum = 0
    for module in (*MODULES, windows, columns, compiled):
        checksum = zlib.crc32(Path(str(module.__file__)).read_bytes(), checksum)
    return zlib.crc32(Path(__file__).read_bytes(), checksum)


def _build_run_program(source: int) -> Callable[..., None]:
    @compiled_for(
        types.void(
            types.int64[:, ::1],
            types.float64[:, ::1],
            types.float64[:, ::1],
            types.int64,
            types.int64,
            types.float64[::1],
            types.float64[:, ::1],
            types.int64,
        ),
        allocates=False,
    )
    def run_program(
        program: NDArray[np.int64],
        parameters: NDArray[np.float64],
        bars: NDArray[np.float64],
        first: int,
        last: int,
        state: NDArray[np.float64],
        out: NDArray[np.float64],
        origin: int,
    ) -> None:
        begin = first
        while begin < last and source >= 0:
            end = min(begin + CHUNK, last)
            for row in range(program.shape[0]):
                code = program[row, OPCODE]
                at = program[row, STATE_AT]
                col = program[row, COLUMN]
                p = parameters[row]
                if code == 0:
                    sma.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 1:
                    ema.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 2:
                    wma.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 3:
                    macd.run(bars, begin, end, state, at, out, col, origin, int(p[0]), int(p[1]), int(p[2]))
                elif code == 4:
                    rsi.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 5:
                    stochastic.run(
                        bars, begin, end, state, at, out, col, origin, int(p[0]), int(p[1]), int(p[2])
                    )
                elif code == 6:
                    fast_stochastic.run(bars, begin, end, state, at, out, col, origin, int(p[0]), int(p[1]))
                elif code == 7:
                    stochastic_rsi.run(
                        bars, begin, end, state, at, out, col, origin, int(p[0]), int(p[1]), int(p[2])
                    )
                elif code == 8:
                    bollinger.run(bars, begin, end, state, at, out, col, origin, int(p[0]), p[1])
                elif code == 9:
                    atr.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 10:
                    natr.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 11:
                    adx.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 12:
                    cci.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 13:
                    williams_r.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 14:
                    mfi.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 15:
                    obv.run(bars, begin, end, state, at, out, col, origin)
                elif code == 16:
                    rate_of_change.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 17:
                    momentum.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 18:
                    aroon.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 19:
                    parabolic_sar.run(bars, begin, end, state, at, out, col, origin, p[0], p[1])
                elif code == 20:
                    keltner.run(bars, begin, end, state, at, out, col, origin, int(p[0]), int(p[1]), p[2])
                elif code == 21:
                    donchian.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 22:
                    supertrend.run(bars, begin, end, state, at, out, col, origin, int(p[0]), p[1])
                elif code == 23:
                    ichimoku.run(
                        bars, begin, end, state, at, out, col, origin, int(p[0]), int(p[1]), int(p[2])
                    )
                elif code == 24:
                    vwap.run(bars, begin, end, state, at, out, col, origin)
                elif code == 25:
                    volume_z.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 26:
                    high_low.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 27:
                    realised_volatility.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
                elif code == 28:
                    activity.run(bars, begin, end, state, at, out, col, origin, int(p[0]))
            begin = end

    return run_program


run_program: Callable[..., None] = _build_run_program(source_digest())
"""Run every indicator of a set over rows ``first .. last - 1`` of one series (see the package)."""
