"""Asking for the memory of a series before its turn, so that its bar does not wait for it.

A live batch has one bar of each of many series, and the state of all of them is larger than the
caches: without this, most of a bar's time is waiting. Only a hint to the processor: it changes no value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from vnpulse.indicators.columns import BAR_ROWS, HIGH, VOLUME
from vnpulse.indicators.compiled import inlined
from vnpulse.technical.layout import DROPPED, HEAD, MARKS, SEEN

LINE_BYTES = 64

MOST_STATE_LINES = 16
"""Lines of a state that are asked for: what is longer is a table of which a bar reads little."""

MOST_BARS = 64
"""Bars back that are asked for: a longer way the processor notices by itself."""

_READ, _DATA = 0, 1
"""Arguments of LLVM's prefetch."""


def _prefetch_into(caches: int) -> Any:
    """Return a function that asks for one line: into all caches, or all but the nearest."""

    @intrinsic  # type: ignore[untyped-decorator]
    def prefetch(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = ir.PointerType()
            flag = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), (pointer, flag, flag, flag))
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            place = builder.inttoptr(arguments[0], pointer)
            builder.call(function, [place, *(flag(value) for value in (_READ, caches, _DATA))])
            return context.get_dummy_value()

        return types.void(types.intp), generate

    return prefetch


_prefetch = _prefetch_into(3)
_prefetch_farther = _prefetch_into(2)


@inlined
def _stretch(address: int, size: int) -> None:
    """Ask for ``size`` bytes from ``address`` on."""
    last = address + size - 1
    line = address
    while line <= last:
        _prefetch(line)
        line += LINE_BYTES
    if last >= address:
        _prefetch(last)


@inlined
def counts_of(s: int, counts: NDArray[np.int64], memory_at: NDArray[np.int64]) -> None:
    """Ask for what must be known of a series before the rest of it can be asked for."""
    _stretch(counts.ctypes.data + s * counts.strides[0], counts.shape[1] * 8)
    _stretch(memory_at.ctypes.data + s * memory_at.strides[0], memory_at.shape[1] * 8)


@inlined
def row_of(
    s: int,
    lookback: int,
    counts: NDArray[np.int64],
    bars: NDArray[np.float64],
    marks: NDArray[np.int64],
    outputs: NDArray[np.float64],
    memory: NDArray[np.float64],
) -> None:
    """Ask for what the next row of a series reads and writes; indicators look ``lookback`` bars back."""
    room = bars.shape[2]
    slot = min(counts[s, SEEN] - counts[s, DROPPED], room - 1)
    first = max(slot - min(lookback, MOST_BARS), 0)
    for column in range(BAR_ROWS):
        oldest = first if HIGH <= column <= VOLUME else slot
        _stretch(bars.ctypes.data + ((s * BAR_ROWS + column) * room + oldest) * 8, (slot - oldest + 1) * 8)
    before = max(slot - 1, 0)
    _stretch(marks.ctypes.data + (s * room + before) * MARKS * 8, (slot - before + 1) * MARKS * 8)
    width = outputs.shape[2]
    _stretch(outputs.ctypes.data + (s * room + slot) * width * 8, width * 8)
    size = min(memory.shape[2] * 8, MOST_STATE_LINES * LINE_BYTES)
    _stretch(memory.ctypes.data + (s * memory.shape[1] + HEAD) * memory.shape[2] * 8, size)


@inlined
def outputs_of(s: int, first: int, last: int, part: int, parts: int, outputs: NDArray[np.float64]) -> None:
    """Ask for one of ``parts`` parts of the rows ``first .. last - 1`` of a series' outputs.

    Not into the nearest cache: what computes them needs it.
    """
    width = outputs.shape[2] * 8
    rows = outputs.ctypes.data + (s * outputs.shape[1] + first) * width
    size = (last - first) * width
    line = rows + part * size // parts
    end = rows + (part + 1) * size // parts
    while line < end:
        _prefetch_farther(line)
        line += LINE_BYTES
