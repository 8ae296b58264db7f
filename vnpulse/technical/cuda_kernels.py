"""What runs on the GPU: the interpreter of ``vnpulse.indicators.dispatch``, compiled for it by numba-cuda.

The formulas are those of the CPU, from the same functions. Nothing is added up in another order, and
no multiplication is fused with an addition, so the numbers are the same to the last bit; only the
logarithm of realised volatility is NVIDIA's and may differ in it.

A thread computes one indicator of one series; the threads of a warp have the same indicator and
neighbouring series. Arrays have the series last, where such threads meet: what they read and write
together lies side by side.

========== ============ =====================================================================
``bars``   [6, R, S]    by ``vnpulse.indicators.columns``
``memory`` [4, M, S]    the states of the indicators, see ``layout``
``work``   [W, 8]       what to compute, see ``offload``
``fresh``  [6, N]       the bars of the rows to compute, those of an item side by side
``out``    [K, N]       the outputs of these rows
========== ============ =====================================================================
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import config, cuda, types
from numpy.typing import NDArray

from vnpulse.indicators import dispatch
from vnpulse.indicators.compiled import compiled
from vnpulse.technical import layout, offload, states
from vnpulse.technical.layout import BASE, HEAD, UNSET
from vnpulse.technical.offload import (
    BEGIN,
    DROPPED_ROWS,
    FIRST,
    FORMING,
    GONE,
    SEEN_ROWS,
    SERIES,
    START,
)

_run_program: Callable[..., None] = compiled(getattr(dispatch.run_program, "py_func", dispatch.run_program))
"""The interpreter without its signature, for arrays of any strides."""


@compiled
def compute_indicator(
    item: int,
    row: int,
    work: NDArray[np.int64],
    program: NDArray[np.int64],
    parameters: NDArray[np.float64],
    horizon: int,
    bars: NDArray[np.float64],
    memory: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Compute the indicator of one ``row`` of the program over the rows of one item of work."""
    s = work[item, SERIES]
    dropped = work[item, DROPPED_ROWS]
    start = work[item, START]
    first = work[item, FIRST]
    seen = work[item, SEEN_ROWS]
    forming = work[item, FORMING]
    origin = first - dropped - work[item, BEGIN]
    at = program[row, dispatch.STATE_AT]
    end = memory.shape[1]
    if row + 1 < program.shape[0]:
        end = program[row + 1, dispatch.STATE_AT]
    if start != HEAD:
        for k in range(at, end):
            memory[HEAD, k, s] = memory[start, k, s]
    own_program = program[row : row + 1]
    own_parameters = parameters[row : row + 1]
    own_bars = bars[:, :, s]
    state = memory[HEAD, :, s]
    for t in range(first, seen + 1):
        kept = states.checkpoint_of(t, seen, horizon)
        if kept != UNSET:
            for k in range(at, end):
                memory[kept, k, s] = memory[HEAD, k, s]
        if t == forming and t < seen:
            for k in range(at, end):
                memory[BASE, k, s] = memory[HEAD, k, s]
        # Row by row: the formulas then keep their sums in registers, not in ``out``.
        if t < seen:
            _run_program(
                own_program, own_parameters, own_bars, t - dropped, t - dropped + 1, state, out, origin
            )


class Kernels(NamedTuple):
    """What is launched, ``kernel[grid, block, stream](...)``; blocks are of threads in x only."""

    copy_series: Any
    """``(used, source [X, S], target [X, T])``, a thread a series of ``target``: fill it with the first
    ``used`` series of ``source``, and zeros."""
    store_bars: Any
    """``(work, fresh, bars)``, a thread an item, block y the column: drop old rows, store fresh ones."""
    compute: Any
    """``(work, program, parameters, horizon, bars, memory, out)``, a thread an item, block y the row of
    the program: compute all work."""


def _functions(source: int) -> tuple[Callable[..., None], ...]:
    def copy_series(used: Any, source: Any, target: Any) -> None:
        s = cuda.grid(1)
        if s < target.shape[1]:
            for x in range(target.shape[0]):
                target[x, s] = source[x, s] if s < used else 0.0

    def store_bars(work: Any, fresh: Any, bars: Any) -> None:
        item = cuda.grid(1)
        column = cuda.blockIdx.y
        if item < work.shape[0]:
            s = work[item, SERIES]
            gone = work[item, GONE]
            slot = work[item, FIRST] - work[item, DROPPED_ROWS]
            if gone > 0:
                for t in range(slot):
                    bars[column, t, s] = bars[column, t + gone, s]
            for i in range(work[item, SEEN_ROWS] - work[item, FIRST]):
                bars[column, slot + i, s] = fresh[column, work[item, BEGIN] + i]

    def compute(
        work: Any, program: Any, parameters: Any, horizon: Any, bars: Any, memory: Any, out: Any
    ) -> None:
        item = cuda.grid(1)
        if item < work.shape[0] and source >= 0:
            compute_indicator(item, cuda.blockIdx.y, work, program, parameters, horizon, bars, memory, out)

    return copy_series, store_bars, compute


def _source_digest() -> int:
    checksum = dispatch.source_digest()
    for module in (layout, offload, states):
        checksum = zlib.crc32(Path(str(module.__file__)).read_bytes(), checksum)
    return zlib.crc32(Path(__file__).read_bytes(), checksum)


_ROWS = types.Array(types.float64, 2, "C")
_SERIES = types.Array(types.float64, 3, "C")
_WHOLE = types.Array(types.int64, 2, "C")

SIGNATURES = (
    (types.int64, _ROWS, _ROWS),
    (_WHOLE, _ROWS, _SERIES),
    (_WHOLE, _WHOLE, _ROWS, types.int64, _SERIES, _SERIES, _ROWS),
)
"""Of what ``FUNCTIONS`` take, as ``Kernels`` describes it."""

FUNCTIONS = _functions(_source_digest())
"""The kernels before they are compiled, in the order of ``Kernels``."""


@contextmanager
def unfused() -> Iterator[None]:
    """Let NVVM compile in this block without fusing multiplications with additions.

    It does by default, and numba-cuda has no option for it but hands options of its own on.
    """
    from numba.cuda.cudadrv import nvvm

    plain = nvvm.compile_ir
    nvvm.compile_ir = functools.partial(plain, fma=False)
    try:
        yield
    finally:
        nvvm.compile_ir = plain


def compiled_kernels() -> Kernels:
    """Return the kernels for the current GPU: compiled, half a minute, or from numba's cache on disk."""
    if config.ENABLE_CUDASIM:
        return Kernels(*map(cuda.jit, FUNCTIONS))
    with unfused():
        return Kernels(
            *(
                cuda.jit(signature, cache=True, lto=False)(function)
                for signature, function in zip(SIGNATURES, FUNCTIONS, strict=True)
            )
        )
