"""The technical engine: indicators of many series, kept up to date bar by bar.

Symbols in rows, one compiled call a batch: there is no Python loop over records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vnpulse.batches import BarBatch, Series
from vnpulse.indicators import columns, dispatch
from vnpulse.indicators.catalogue import IndicatorSet, parse
from vnpulse.market import Exchange, MarketRules
from vnpulse.messages import DAY_MS, INTERVAL_MS
from vnpulse.technical import kernel, layout
from vnpulse.technical.growing import GrowingArray
from vnpulse.technical.settings import RESAMPLED_FROM, TechnicalSettings

FIRST_CAPACITY = 64
"""Series that fit before the arrays grow; pages that no bar was written to cost no memory."""

_LONGEST_BUCKET = 60
"""Bars of RESAMPLED_FROM that a longer intraday bar is made of."""

_NO_ROWS = BarBatch(
    topic="",
    partition=-1,
    start_offset=0,
    next_offset=0,
    series=[],
    codes=np.empty(0, np.int32),
    time_ms=np.empty(0, np.int64),
    prices=np.empty((0, 4)),
    volume=np.empty(0),
    closed=np.empty(0, np.bool_),
    offsets=np.empty(0, np.int64),
    append_ms=np.empty(0, np.int64),
)

_ROWS = ("counts", "bars", "marks", "outputs", "_memory_at")
_MEMORY = "_memory"


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """What an engine knows of n series, apart from it: plain arrays, which pickle or Ray can carry.

    ``state`` holds the engine's arrays by name, without the room that no series uses yet. ``digest``
    is that of the settings: with others, the same floats would mean something else.
    """

    digest: str
    series: tuple[Series, ...]
    totals: NDArray[np.int64]
    state: dict[str, NDArray[np.float64] | NDArray[np.int64]]


class TechnicalEngine:
    """State and recent rows of every tracked series.

    Applying bars one at a time, in batches of any size or all at once gives the same state, bit
    for bit. Not thread-safe. A series is known by its number, in order of first appearance; a row
    by its slot, which holds until the next ``apply``. The columns of the arrays below are named in
    ``vnpulse.technical.layout``.
    """

    def __init__(
        self, settings: TechnicalSettings, market: MarketRules, exchange_of: Mapping[str, Exchange]
    ) -> None:
        """``exchange_of`` gives the exchange of symbols; of others nothing is known about auctions."""
        self.indicators = IndicatorSet([parse(text) for text in settings.indicators])
        self.numbers: dict[tuple[str, str], int] = {}
        """Series (symbol, interval) to its number."""
        self.series: list[Series] = []
        """Number to its series."""
        self.totals = np.zeros(len(layout.STATUS_NAMES), np.int64)
        """Rows ever applied, by status code."""
        self.history_bars = settings.history_bars
        self._digest = settings.digest()
        self._tracked = frozenset(settings.tracked_intervals()) - frozenset(settings.resample)
        self._resample = settings.resample
        horizon = settings.late_bars
        lookback = self.indicators.lookback
        least = 2 * horizon + lookback + 1 + _LONGEST_BUCKET
        keep = max(settings.history_bars, least)
        self._limits = np.array([settings.history_bars, horizon, keep, least, lookback], np.int64)
        # Half as many again: a drop moves what is kept, and this makes it rare. Odd: the same row of
        # all series would otherwise fall into the same few sets of the caches.
        self._room = (keep + keep // 2) | 1
        self._exchange_of = exchange_of
        self._indices = frozenset(market.indices)
        self._exchanges = {name: number for number, name in enumerate(market.exchanges)}
        self._auctions, self._blocks = _sessions(market)
        # Wider than is needed: see _room.
        self._scratch = np.zeros((len(self.indicators.output_names), dispatch.CHUNK + 8))
        room = self._room
        self._growing = {
            "bars": GrowingArray((columns.BAR_ROWS, room), np.float64),
            "marks": GrowingArray((room, layout.MARKS), np.int64),
            "_outputs": GrowingArray((room, len(self.indicators.output_names)), np.float64),
        }
        self.bars: NDArray[np.float64]
        self.marks: NDArray[np.int64]
        self._outputs: NDArray[np.float64]
        self._behind = False
        """Whether indicators may wait to be run over some rows."""
        self._allocate(FIRST_CAPACITY)
        self._memory: NDArray[np.float64]
        self._grow_memory(0, FIRST_CAPACITY)

    def _allocate(self, series: int) -> None:
        """Make room for so many series; keep the rows of those that are there, and nothing else of them."""
        self.counts = np.zeros((series, layout.COUNTS), np.int64)
        self.counts[:, layout.DIRTY] = layout.NOTHING
        self._memory_at = np.full((series, layout.STATES), layout.UNSET, np.int64)
        # A state of zeros is right before the first bar.
        self._memory_at[:, [layout.HEAD, layout.CHECKPOINT]] = 0
        self._derived = np.zeros((series, 2 + 2 * len(self._resample)), np.int64)
        self._derived[:, 2::2] = layout.NO_SERIES
        for name, array in self._growing.items():
            # The old array must be gone first.
            setattr(self, name, None)
            setattr(self, name, array.grow(series))

    def _grow_memory(self, used: int, series: int) -> None:
        """Make room for the states of ``series`` series; keep those of the first ``used``."""
        memory = np.zeros((series, layout.STATES, self.indicators.state_size))
        if used:
            memory[:used] = self._memory[:used]
        self._memory = memory

    def _read_memory(self, used: int) -> NDArray[np.float64]:
        """Return a copy of the states of the first ``used`` series, [used, STATES, M]."""
        return self._memory[:used].copy()

    def _write_memory(self, memory: NDArray[Any]) -> None:
        """Take the states of the first series; their bars are there."""
        self._memory[: len(memory)] = memory

    def _grow(self) -> None:
        """Double the room until every numbered series fits."""
        before = {name: getattr(self, name) for name in ("counts", "_memory_at", "_derived")}
        used = capacity = len(self.counts)
        while capacity < len(self.series):
            capacity *= 2
        self._allocate(capacity)
        for name, values in before.items():
            getattr(self, name)[:used] = values
        self._grow_memory(used, capacity)

    def _used_rows(self) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
        """Return views of what the arrays hold; rows never written stay untouched and take no memory."""
        used = len(self.series)
        counts = self.counts[:used]
        rows = int((counts[:, layout.SEEN] - counts[:, layout.DROPPED]).max(initial=0))
        written = {
            "bars": np.s_[:used, :, :rows],
            "marks": np.s_[:used, :rows],
            "outputs": np.s_[:used, :rows],
        }
        return {name: getattr(self, name)[written.get(name, np.s_[:used])] for name in _ROWS}

    def _take_rows(self, state: Mapping[str, NDArray[np.float64] | NDArray[np.int64]]) -> None:
        for name in _ROWS:
            values = state[name]
            getattr(self, name)[tuple(map(slice, values.shape))] = values

    @property
    def outputs(self) -> NDArray[np.float64]:
        """Return the indicator values, up to date (see ``kernel.FEWEST_TO_WAIT``)."""
        self._catch_up()
        return self._outputs

    def _catch_up(self) -> None:
        """Run the indicators over the rows that wait for it."""
        if self._behind:
            self._behind = False
            waiting = self.counts[: len(self.series), layout.DIRTY] != layout.NOTHING
            self._run(_NO_ROWS, 0, np.flatnonzero(waiting), np.empty(0, np.int8))

    def snapshot(self) -> EngineSnapshot:
        """Return a copy of the state of every series and of its recent rows."""
        self._catch_up()
        state = {name: values.copy() for name, values in self._used_rows().items()}
        state[_MEMORY] = self._read_memory(len(self.series))
        return EngineSnapshot(self._digest, tuple(self.series), self.totals.copy(), state)

    def restore(self, snapshot: EngineSnapshot) -> None:
        """Go on where the engine of the snapshot was; the numbers are those it would have given.

        Raises ValueError if this engine has series already or other settings.
        """
        if self.series:
            raise ValueError("only an engine that has seen no bar takes a snapshot")
        if snapshot.digest != self._digest:
            raise ValueError(f"snapshot is of settings {snapshot.digest}, these are {self._digest}")
        for series in snapshot.series:
            if series not in self.numbers:  # Those that are made of others are numbered with them.
                self._number(series)
        self._take_rows(snapshot.state)
        self._write_memory(snapshot.state[_MEMORY])
        self.totals[:] = snapshot.totals

    def _number(self, series: Series) -> int:
        """Give ``series`` a number, and those that are made of it."""
        number = self.numbers[series] = len(self.series)
        self.series.append(series)
        made = (
            [self._number(Series(series.symbol, interval)) for interval in self._resample]
            if series.interval == RESAMPLED_FROM
            else []
        )
        if len(self.series) > len(self.counts):
            self._grow()
        exchange = self._exchange_of.get(series.symbol)
        tells = self._derived[number]
        # All exchanges break at noon: the first one's stretches of trading do for unknown symbols.
        tells[0] = self._exchanges.get(exchange, 0) if exchange is not None else 0
        # An index is computed, not auctioned.
        tells[1] = (
            exchange is not None
            and series.symbol not in self._indices
            and INTERVAL_MS[series.interval] < DAY_MS
        )
        for k, (interval, derived) in enumerate(zip(self._resample, made, strict=False)):
            tells[2 + 2 * k : 4 + 2 * k] = derived, INTERVAL_MS[interval]
        return number

    def _lookup(self, batch: BarBatch, first_row: int) -> NDArray[np.int64]:
        """Return the number of each series of the batch, -1 for those not tracked; number new ones."""
        # Of untracked intervals no series has a number.
        numbers = list(map(self.numbers.get, batch.series))
        if None in numbers:
            # A series may be listed without a row, when all its records were rejected: give it no state.
            for code in np.unique(batch.codes[first_row:]).tolist():
                series = batch.series[code]
                if numbers[code] is None and series.interval in self._tracked:
                    numbers[code] = self._number(series)
            numbers = [-1 if number is None else number for number in numbers]
        return np.array(numbers, np.int64)

    def apply(self, batch: BarBatch, first_row: int = 0) -> NDArray[np.int8]:
        """Apply the batch's rows from ``first_row`` on; return a status code a row, int8 [n].

        The codes are those of ``layout.STATUS_NAMES``; rows before ``first_row`` read IGNORED.
        A bar is matched by its time with what is there:

        * later than the last bar of its series: NEW; an unclosed last bar thereby becomes final;
        * the last bar, other values: REPLACED, whatever either says of its being closed: the later
          record in the log is the newer knowledge, as it is for the store;
        * the same values as are there: CONFIRMED if it is the last bar and closed only now, else
          DUPLICATE;
        * earlier, with other values or of a time that had no bar: MERGED if fewer than
          ``late_bars`` bars came after it, and then everything after it is computed anew, else LATE;
        * of a time of day at which its exchange only collects orders for the opening: AUCTION.

        DUPLICATE, LATE, AUCTION and IGNORED change nothing.
        """
        lookup = self._lookup(batch, first_row)
        status = np.full(len(batch), layout.IGNORED, np.int8)
        self._run(batch, first_row, lookup, status)
        return status

    def _run(
        self, batch: BarBatch, first_row: int, lookup: NDArray[np.int64], status: NDArray[np.int8]
    ) -> None:
        """Put the rows in their places, compute what changed, and write and count each one's status."""
        waiting = kernel.apply_bars(
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
            self._derived,
            self._auctions,
            self._blocks,
            self.indicators.program,
            self.indicators.parameters,
            self._limits,
            self.counts,
            self.bars,
            self.marks,
            self._outputs,
            self._memory,
            self._memory_at,
            self._scratch,
            status,
            self.totals,
        )
        self._behind = self._behind or waiting > 0

    def rows(self, number: int) -> int:
        """Return how many rows of a series are held; the newest has the slot ``rows - 1``."""
        return int(self.counts[number, layout.SEEN] - self.counts[number, layout.DROPPED])

    def is_newest(self, numbers: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each row [n] is the newest of its series."""
        counts = self.counts[numbers]
        newest: NDArray[np.bool_] = slots == counts[:, layout.SEEN] - counts[:, layout.DROPPED] - 1
        return newest

    def final_rows(self, queries: Sequence[tuple[int, int, int, int]]) -> tuple[NDArray[np.int64], int]:
        """Find the bars that became final in stretches of the log, among the last ``history_bars``.

        A query is (series number, partition, first offset, last offset), inclusive; a bar became
        final with its own record when that was closed, else with the first record of a later bar.
        Returns int64 [n, 2] of (series number, slot), by query and then by time, and how many of
        the queries reach back beyond the history.
        """
        table = np.array(queries, np.int64).reshape(len(queries), 4)
        rows, beyond = layout.find_final_rows(table, self.history_bars, self.counts, self.marks)
        return rows, int(beyond)

    def rows_before(self, numbers: NDArray[np.int64], limit_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slot of each series' last bar that opened before its limit, -1 if none; all [n]."""
        return layout.find_rows_before(numbers, limit_ms, self.counts, self.bars)


def _sessions(market: MarketRules) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return of each exchange its opening auction [E, 2] and its stretches of trading [E, b, 2].

    In milliseconds after midnight; shorter lists are filled up with what matches no time.
    """
    rules = list(market.exchanges.values())
    auctions = np.zeros((len(rules), 2), np.int64)
    blocks = np.full((len(rules), max(len(rule.blocks()) for rule in rules), 2), DAY_MS, np.int64)
    for number, rule in enumerate(rules):
        if rule.opening_auction is not None:
            auctions[number] = rule.opening_auction.begin_ms, rule.opening_auction.end_ms
        for k, block in enumerate(rule.blocks()):
            blocks[number, k] = block
    return auctions, blocks
