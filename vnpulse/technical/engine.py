"""The technical engine: indicators of many series, kept up to date bar by bar.

Symbols in rows, one compiled call a batch: there is no Python loop over records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vnpulse.batches import BarBatch, Series
from vnpulse.indicators import activity, atr, bollinger, ema, macd, rsi, sma
from vnpulse.technical import kernel
from vnpulse.technical.settings import TechnicalSettings

FIRST_CAPACITY = 64
"""Series that fit before the arrays grow; pages that no bar was written to cost no memory."""


def output_names(settings: TechnicalSettings) -> tuple[str, ...]:
    """Return the names of the indicator outputs in the order of their columns."""
    return (
        *sma.names(settings.sma_period),
        *ema.names(settings.ema_period),
        *macd.names(settings.macd_fast, settings.macd_slow, settings.macd_signal),
        *rsi.names(settings.rsi_period),
        f"rsi_{settings.rsi_period}_change_{settings.rsi_change_bars}",
        *bollinger.names(settings.bb_period, settings.bb_deviations),
        *atr.names(settings.atr_period),
        *activity.names(settings.activity_period),
    )


class TechnicalEngine:
    """State and recent rows of every tracked series.

    Applying bars one at a time, in batches of any size or all at once gives the same state, bit
    for bit. Not thread-safe. A series is known by its number, in order of first appearance; a row
    of its ring by its slot. The columns of the arrays below are named in ``vnpulse.technical.kernel``.
    """

    def __init__(self, settings: TechnicalSettings) -> None:
        self.output_names = output_names(settings)
        self.numbers: dict[tuple[str, str], int] = {}
        """Series (symbol, interval) to its number."""
        self.series: list[Series] = []
        """Number to its series."""
        self.totals = np.zeros(len(kernel.STATUS_NAMES), np.int64)
        """Rows ever applied, by status code."""
        self._history_bars = settings.history_bars
        self._intervals = frozenset(settings.tracked_intervals())
        self._periods = np.zeros(kernel.PERIODS, np.int64)
        self._periods[kernel.P_SMA] = settings.sma_period
        self._periods[kernel.P_EMA] = settings.ema_period
        self._periods[kernel.P_FAST] = settings.macd_fast
        self._periods[kernel.P_SLOW] = settings.macd_slow
        self._periods[kernel.P_SIGNAL] = settings.macd_signal
        self._periods[kernel.P_RSI] = settings.rsi_period
        self._periods[kernel.P_RSI_CHANGE] = settings.rsi_change_bars
        self._periods[kernel.P_BB] = settings.bb_period
        self._periods[kernel.P_ATR] = settings.atr_period
        self._periods[kernel.P_ACTIVITY] = settings.activity_period
        self._deviations = settings.bb_deviations
        self._allocate(FIRST_CAPACITY)

    def _allocate(self, series: int) -> None:
        rows = self._history_bars
        self.seen = np.zeros(series, np.int64)
        self.closes = np.zeros((series, rows))
        self.bars = np.zeros((series, rows, kernel.BAR_COLUMNS))
        self.marks = np.zeros((series, rows, kernel.MARKS), np.int64)
        self.outputs = np.zeros((series, rows, kernel.OUTPUTS))
        self._memory = np.zeros((series, 2, kernel.MEMORY))

    def _grow(self) -> None:
        """Double the room until every numbered series fits."""
        names = ("seen", "closes", "bars", "marks", "outputs", "_memory")
        before = {name: getattr(self, name) for name in names}
        used = len(self.seen)
        capacity = used
        while capacity < len(self.series):
            capacity *= 2
        self._allocate(capacity)
        rows = min(int(before["seen"].max()), self._history_bars)
        for name, old in before.items():
            if name in ("seen", "_memory"):
                getattr(self, name)[:used] = old
            else:  # Rows never written stay untouched, so that they take no memory.
                getattr(self, name)[:used, :rows] = old[:, :rows]

    def _lookup(self, batch: BarBatch, first_row: int) -> NDArray[np.int64]:
        """Return the number of each series of the batch, -1 for those of other intervals; number new ones."""
        numbers = [self.numbers.get(series, -1) for series in batch.series]
        if -1 in numbers:
            # A series may be listed without a row, when all its records were rejected: give it no state.
            for code in np.unique(batch.codes[first_row:]).tolist():
                series = batch.series[code]
                if numbers[code] < 0 and series.interval in self._intervals:
                    numbers[code] = self.numbers[series] = len(self.series)
                    self.series.append(series)
            if len(self.series) > len(self.seen):
                self._grow()
        return np.array(numbers, np.int64)

    def apply(self, batch: BarBatch, first_row: int = 0) -> NDArray[np.int8]:
        """Apply the batch's rows from ``first_row`` on; return a status code a row, int8 [n].

        The codes are those of ``kernel.STATUS_NAMES``; rows before ``first_row`` read IGNORED.
        A bar is matched by its time with what is there:

        * later than the last bar of its series: NEW; an unclosed last bar thereby becomes final;
        * the last bar, other values: REPLACED, whatever either says of its being closed: the later
          record in the log is the newer knowledge, as it is for the store;
        * the last bar, the same values: CONFIRMED if it is closed only now, else DUPLICATE;
        * earlier: DUPLICATE if it has the values of that bar's row, else LATE.

        DUPLICATE, LATE and IGNORED change nothing.
        """
        lookup = self._lookup(batch, first_row)
        status = np.full(len(batch), kernel.IGNORED, np.int8)
        kernel.apply_bars(
            first_row,
            batch.partition,
            lookup,
            batch.codes,
            batch.time_ms,
            batch.prices,
            batch.volume,
            batch.closed,
            batch.offsets,
            batch.append_ms,
            self._periods,
            self._deviations,
            self.seen,
            self.closes,
            self.bars,
            self.marks,
            self.outputs,
            self._memory,
            status,
            self.totals,
        )
        return status

    def last_slot(self, number: int) -> int:
        """Return the slot of the newest row of a series that has one."""
        return int((self.seen[number] - 1) % self._history_bars)

    def final_rows(self, queries: Sequence[tuple[int, int, int, int]]) -> tuple[NDArray[np.int64], int]:
        """Find the bars that became final in stretches of the log.

        A query is (series number, partition, first offset, last offset), inclusive; a bar became
        final with its own record when that was closed, else with the first record of a later bar.
        Returns int64 [n, 2] of (series number, slot), by query and then by time, and how many of
        the queries reach back beyond the ring.
        """
        table = np.array(queries, np.int64).reshape(len(queries), 4)
        rows, beyond = kernel.find_final_rows(table, self.seen, self.marks)
        return rows, int(beyond)

    def rows_before(self, numbers: NDArray[np.int64], limit_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slot of each series' last bar that opened before its limit, -1 if none; all [n]."""
        return kernel.find_rows_before(numbers, limit_ms, self.seen, self.marks)
