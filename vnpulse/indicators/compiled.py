"""How the numeric kernels are compiled: numba with one set of options, visible to the type checker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile ``function`` as a part of the kernel that calls it, for the types of its first call.

    Division by zero gives inf or NaN as in numpy, and never raises. Without a cache of its own:
    numba's would not notice that a function of another module, compiled in here, has changed.

    It allocates nothing (numba refuses to compile what does), so references to arrays need not be
    counted: for a single bar that took as long as everything else together.
    """
    return cast(_Function, numba.njit(error_model="numpy", _nrt=False)(function))


def inlined(function: _Function) -> _Function:
    """Compile ``function`` as ``compiled`` does, and always into its caller.

    For what takes many arrays for every bar: to hand each over is seven words to write and to read.
    """
    return cast(_Function, numba.njit(error_model="numpy", _nrt=False, forceinline=True)(function))


def compiled_for(signature: Any, allocates: bool = True) -> Callable[[_Function], _Function]:
    """Compile for one explicit ``signature``, when the module is imported, and release the GIL in it.

    What ``allocates`` no array is faster (see ``compiled``).

    Machine code is cached on disk; an installation on a read-only file system sets
    ``NUMBA_CACHE_DIR``. What calls functions of other modules must have their source in its key
    (``dispatch.source_digest``).
    """

    def compile_now(function: _Function) -> _Function:
        jitted = numba.njit(signature, cache=True, error_model="numpy", nogil=True, _nrt=allocates)(function)
        return cast(_Function, jitted)

    return compile_now


def any_array(dtype: Any, dimensions: int) -> Any:
    """Return the type of an input of any layout and read-only, as batches come out of Ray's object store."""
    return types.Array(dtype, dimensions, "A", readonly=True)


def own_array(dtype: Any, dimensions: int) -> Any:
    """Return the type of an array that we made: C-contiguous and writeable."""
    return types.Array(dtype, dimensions, "C")
