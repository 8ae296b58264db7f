"""The technical engine with its indicators computed on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from vnpulse.batches import BarBatch
from vnpulse.indicators import columns
from vnpulse.market import Exchange, MarketRules
from vnpulse.technical import cuda_kernels, layout, offload
from vnpulse.technical.engine import TechnicalEngine
from vnpulse.technical.settings import TechnicalSettings

MOST_ROWS = 1 << 18
"""Rows placed before they are computed, so that what is packed for the way stays small."""

WARP, BLOCK = 32, 128
"""Threads that go in step, each of its own series but with the same indicator; and of a block."""


class CudaTechnicalEngine(TechnicalEngine):
    """A ``TechnicalEngine`` whose bars and states of indicators lie on the current GPU as well.

    Bars are put in their places on the CPU, whose arrays hold them too, for searches. What goes to
    the GPU are the bars of the rows to compute, what comes back are their outputs, with one copy
    each way, through pinned memory; the states of the indicators stay there. The numbers, and the
    snapshots, are those of a ``TechnicalEngine``. ``vnpulse.technical.cuda_kernels`` says how the
    arrays lie. An instance belongs to one process and GPU.
    """

    def __init__(
        self, settings: TechnicalSettings, market: MarketRules, exchange_of: Mapping[str, Exchange]
    ) -> None:
        """As of ``TechnicalEngine``. ``engines.open_engine`` says whether there is a GPU to do this with."""
        self._stream = cuda.stream()
        self._kernels = cuda_kernels.compiled_kernels()
        self._up = _Staging()
        self._down = _Staging()
        super().__init__(settings, market, exchange_of)
        self._program = cuda.to_device(self.indicators.program, self._stream)
        self._parameters = cuda.to_device(self.indicators.parameters, self._stream)

    def _grow_memory(self, used: int, series: int) -> None:
        bars = cuda.device_array((columns.BAR_ROWS, self._room, series), np.float64)
        states = cuda.device_array((layout.STATES, self.indicators.state_size, series), np.float64)
        before = (self._device_bars, self._states) if used else (bars, states)
        blocks, threads = _spread(series)
        for source, target in zip(before, (bars, states), strict=True):
            self._kernels.copy_series[blocks, threads, self._stream](used, _flat(source), _flat(target))
        known = np.zeros(series, np.int64)
        if used:
            known[:used] = self._known_dropped
        self._stream.synchronize()
        self._known_dropped: NDArray[np.int64] = known
        self._device_bars: Any = bars
        self._states: Any = states

    def _read_memory(self, used: int) -> NDArray[np.float64]:
        states = self._states.copy_to_host(stream=self._stream)
        self._stream.synchronize()
        return np.ascontiguousarray(states[:, :, :used].transpose(2, 0, 1))

    def _write_memory(self, memory: NDArray[Any]) -> None:
        used = len(memory)
        states = np.zeros(self._states.shape)
        states[:, :, :used] = memory.transpose(1, 2, 0)
        self._states.copy_to_device(states, stream=self._stream)
        self._device_bars.copy_to_device(
            np.ascontiguousarray(self.bars.transpose(1, 2, 0)), stream=self._stream
        )
        self._known_dropped[:used] = self.counts[:used, layout.DROPPED]
        self._stream.synchronize()

    def _run(
        self, batch: BarBatch, first_row: int, lookup: NDArray[np.int64], status: NDArray[np.int8]
    ) -> None:
        pending = np.arange(first_row, len(batch))
        touched = np.empty(len(self.counts), np.int64)
        while len(pending):
            touches, left = offload.place_rows(
                pending,
                MOST_ROWS,
                batch.partition,
                lookup,
                batch.codes,
                batch.time_ms,
                batch.prices,
                batch.volume,
                batch.closed,
                batch.offsets,
                batch.append_ms,
                self._derived,
                self._auctions,
                self._blocks,
                self._limits,
                self.counts,
                self.bars,
                self.marks,
                self.outputs,
                touched,
                status,
                self.totals,
            )
            pending = pending[:left]
            # In the order of the series, so that threads beside each other find their data so.
            self._compute(np.sort(touched[:touches]))

    def _compute(self, touched: NDArray[np.int64]) -> None:
        """Compute what changed in the ``touched`` series; on return it is in ``outputs``."""
        work = np.empty((len(touched), offload.WORK_COLUMNS), np.int64)
        items, rows = offload.plan(
            touched, self._limits, self.counts, self.marks, self._memory_at, self._known_dropped, work
        )
        if not items:
            return
        work = work[:items]
        up, device_up = self._up.take(work.size + columns.BAR_ROWS * rows)
        up[: work.size].view(np.int64)[:] = work.reshape(-1)
        offload.pack_bars(work, self.bars, up[work.size :].reshape(columns.BAR_ROWS, rows))
        device_up.copy_to_device(up, stream=self._stream)
        device_work = device_up[: work.size].view(np.int64).reshape(items, offload.WORK_COLUMNS)
        fresh = device_up[work.size :].reshape(columns.BAR_ROWS, rows)
        outputs = len(self.indicators.output_names)
        down, device_down = self._down.take(outputs * rows)
        blocks, threads = _spread(items)
        self._kernels.store_bars[(blocks, columns.BAR_ROWS), threads, self._stream](
            device_work, fresh, self._device_bars
        )
        self._kernels.compute[(blocks, len(self.indicators.specs)), threads, self._stream](
            device_work,
            self._program,
            self._parameters,
            int(self._limits[layout.HORIZON]),
            self._device_bars,
            self._states,
            device_down.reshape(outputs, rows),
        )
        device_down.copy_to_host(down, stream=self._stream)
        self._stream.synchronize()
        offload.unpack_outputs(work, down.reshape(outputs, rows), self.outputs)


class _Staging:
    """Memory for one way: pinned here, and as much on the GPU; it grows with what was asked for."""

    def __init__(self) -> None:
        self._pinned: Any = np.empty(0)
        self._device: Any = None

    def take(self, floats: int) -> tuple[Any, Any]:
        """Return float64 [floats] here and on the GPU; what was taken before is lost."""
        if floats > len(self._pinned):
            room = max(2 * len(self._pinned), floats)
            self._pinned = cuda.pinned_array(room, np.float64)
            self._device = cuda.device_array(room, np.float64)
        return self._pinned[:floats], self._device[:floats] if floats else self._device


def _flat(array: Any) -> Any:
    """Return [A, B, S] as [A * B, S]."""
    return array.reshape(array.shape[0] * array.shape[1], array.shape[2])


def _spread(threads: int) -> tuple[int, int]:
    """Return how many blocks, and threads in each, hold so many threads."""
    block = min(BLOCK, -(-threads // WARP) * WARP)
    return -(-threads // block), block
