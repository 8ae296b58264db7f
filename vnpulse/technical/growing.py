"""Arrays that grow without being copied: the operating system moves their pages to other addresses."""

from __future__ import annotations

import math
import mmap
import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

HUGE_PAGE = 2**21
"""Bytes that Linux gives at once to who asks for it, at a quarter of the price of 4 kB at a time."""


class GrowingArray:
    """Zeros of which there can be more along the first dimension. What was never written takes no memory."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """``shape``: without the first dimension, which is 0 at first."""
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._mapping: mmap.mmap | None = None
        self._length = 0

    def grow(self, length: int) -> NDArray[Any]:
        """Return the array, C-contiguous, with ``length`` at least that of before.

        Arrays returned before should be gone: while one is in use its memory cannot be moved, so it keeps
        that, and the new one is a copy.
        """
        size = math.prod(self._shape) * length * self._dtype.itemsize
        # Whole pages, which a move leaves whole.
        size = max(-(-size // HUGE_PAGE), 1) * HUGE_PAGE
        if self._mapping is None:
            self._mapping = _new_mapping(size)
        elif size > len(self._mapping):
            try:
                self._mapping.resize(size)
            except (BufferError, SystemError):  # In use; or a system that cannot move pages.
                before = self._array(self._mapping, self._length)
                self._mapping = _new_mapping(size)
                self._array(self._mapping, self._length)[:] = before
        self._length = length
        return self._array(self._mapping, length)

    def _array(self, mapping: mmap.mmap, length: int) -> NDArray[Any]:
        count = math.prod(self._shape) * length
        return np.frombuffer(mapping, self._dtype, count).reshape(length, *self._shape)


def _new_mapping(size: int) -> mmap.mmap:
    mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping
