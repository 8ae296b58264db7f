"""Price boards become bars: one-minute bars by differences, and the session's daily bar."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from vnpulse.collection.sources import Board
from vnpulse.market import Exchange
from vnpulse.messages import VIETNAM, PriceBar
from vnpulse.trading_calendar import TradingCalendar, day_of, midnight_ms

MINUTE_MS = 60_000

BOUNDARY_MS = 1_000
"""What a board shows within the first second of a minute was traded in the minute before: polls are
aligned to the minute, and boards are a moment behind the market."""

LONGEST_GAP_MS = 90_000
"""After more trading than this between two boards, what was traded in between is in no minute: to say
in which would be an invention. The daily bar has it, and a backfill can bring the minutes."""

CLOCK_TOLERANCE_MS = 120_000
"""A row's own time is believed if it is this near to our clock, as for any other producer."""

REBASE_AFTER_MS = 180_000
"""A cumulative volume that went down is waited for this long, then taken as the new truth."""

NOT_YET = np.iinfo(np.int64).max

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Column = NDArray[Any]


@dataclass
class _View:
    """What one source last showed of each symbol today; NaN and 0 where it has shown nothing yet.

    ``before``: its volume before trading began. ``base``: the volume that is accounted for, seen at
    ``base_ms``. ``below_ms``: since when it shows less than ``base``.
    """

    before: _Floats
    base: _Floats
    base_ms: _Ints
    below_ms: _Ints

    @classmethod
    def empty(cls, n: int) -> _View:
        return cls(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64), np.zeros(n, np.int64))


class _Saved(msgspec.Struct):
    """The builder's state; columns are the arrays' bytes, in the order of ``symbols``."""

    day: str
    symbols: list[str]
    views: dict[str, list[bytes]]
    columns: list[bytes]
    source: str
    last_trade_ms: int


class BarBuilder:
    """Turns boards of a fixed set of symbols into bars. Columnar: one pass over a board, whatever its size.

    A minute's bar exists from its first trade on, that is when a symbol's cumulative volume grew; it is
    returned each time it changes, and once more when its minute is over. Its volume is the growth, its
    extremes are the prices seen and what the day's high and low moved to. Nothing is invented: a silent
    minute has no bar, and neither have trades that fall into a gap, before the first board of a symbol
    that was already trading, or into the opening auction's collecting of orders.

    The volumes of two sources are never subtracted from one another: each has a base of its own.
    """

    def __init__(
        self, symbols: Sequence[str], exchange_of: Mapping[str, Exchange], calendar: TradingCalendar
    ) -> None:
        """``exchange_of`` names the exchange of every symbol."""
        self.symbols = list(symbols)
        self.counts: Counter[str] = Counter()
        self.last_trade_ms = 0
        """When growth was last seen of any symbol, by our clock; 0 means not since the start."""
        self._index = {symbol: i for i, symbol in enumerate(self.symbols)}
        self._exchanges: list[Exchange] = [exchange_of[symbol] for symbol in self.symbols]
        self._calendar = calendar
        self._start_day(dt.date.min)

    def _start_day(self, day: dt.date) -> None:
        n = len(self.symbols)
        self._day = day
        self._views: dict[str, _View] = {}
        self._minute = np.zeros(n, np.int64)
        """When the current bar began; 0 without one."""
        self._floor = np.zeros(n, np.int64)
        """The earliest minute that can still have a bar."""
        self._watched = np.zeros(n, np.bool_)
        """Seen today before the first trade was possible."""
        self._bar = np.full((n, 5), np.nan)
        """open, high, low, close, volume of the current minute."""
        self._today = np.full((n, 5), np.nan)
        """The same of the day so far."""
        self._daily_sent = self._today.copy()
        self._source = ""
        first = {}
        if day != dt.date.min:
            first = {e: self._calendar.first_trade_ms(e, day) for e in set(self._exchanges)}
        self._first_trade = np.array([first.get(e) or NOT_YET for e in self._exchanges], np.int64)

    def apply(self, board: Board, now_ms: int) -> list[PriceBar]:
        """Return the bars that ``board`` changes, collected at ``now_ms``, earlier minutes first."""
        bars = []
        if day_of(board.asked_ms) != self._day:
            bars = self._close(np.flatnonzero(self._minute), now_ms)
            self._start_day(day_of(board.asked_ms))
        view = self._views.setdefault(board.source, _View.empty(len(self.symbols)))
        known = np.array([self._index.get(symbol, -1) for symbol in board.symbols], np.int64)
        rows = np.flatnonzero((known >= 0) & np.isfinite(board.volume) & (board.volume >= 0))
        at = known[rows]
        volume = board.volume[rows]
        first_trade = self._first_trade[at]

        not_yet = board.asked_ms < first_trade
        view.before[at[not_yet]] = volume[not_yet]
        self._watched[at[not_yet]] = True
        # Until the source has begun the new day it goes on showing what it showed before.
        leftover = (view.before[at] > 0) & (volume == view.before[at])
        live = (board.asked_ms - BOUNDARY_MS >= first_trade) & ~leftover
        rows, at, volume = rows[live], at[live], volume[live]
        minute = self._minutes_of(board, rows, at)

        growth = self._growth(view, at, volume, board.asked_ms)
        price = board.price[rows]
        traded = (growth > 0) & np.isfinite(price) & (price > 0)
        bars += self._trade(board, rows[traded], at[traded], minute[traded], growth[traded], now_ms)
        self._note_day(board, rows, at)
        # Growth without a price waits for one.
        accounted = traded | (growth == 0)
        view.base[at[accounted]] = np.fmax(view.base[at], volume)[accounted]
        view.base_ms[at] = board.asked_ms
        if traded.any():
            self.last_trade_ms = max(self.last_trade_ms, board.asked_ms)
            for name, other in self._views.items():
                if name != board.source:
                    # What this one has counted, the others must not count again.
                    other.before[at[traded]] = other.base[at[traded]] = np.nan
        self._source = board.source
        return bars + self.close_due(now_ms)

    def _minutes_of(self, board: Board, rows: NDArray[np.intp], at: NDArray[np.int64]) -> _Ints:
        """Return the minute that each row's news belong to: never one that is over already."""
        seen = np.full(len(rows), board.asked_ms - BOUNDARY_MS, np.int64)
        given = board.time_ms[rows]
        believed = (given >= 0) & (np.abs(given - board.asked_ms) <= CLOCK_TOLERANCE_MS)
        self.counts["clock_skew"] += int((given - board.asked_ms > CLOCK_TOLERANCE_MS).sum())
        seen[believed] = given[believed]
        earliest = np.maximum(self._floor[at], self._first_trade[at])
        minute: _Ints = np.maximum(np.maximum(self._minute[at], earliest), seen // MINUTE_MS * MINUTE_MS)
        return minute

    def _growth(self, view: _View, at: NDArray[np.int64], volume: _Floats, asked_ms: int) -> _Floats:
        """Return how much each symbol's volume grew, 0 where that cannot be said; sets new bases."""
        unknown = np.isnan(view.base[at])
        # Watched since before trading: the day began at nothing, whatever the board showed of yesterday.
        began = unknown & ~np.isnan(view.before[at])
        before = view.before[at[began]]
        view.base[at[began]] = np.where(volume[began] < before, 0.0, before)
        view.base_ms[at[began]] = self._first_trade[at[began]]
        view.before[at[began]] = np.nan
        gap = self._gaps(view, at, asked_ms)
        self.counts["gaps"] += int((gap & (volume > view.base[at])).sum())
        view.base[at[gap]] = volume[gap]
        growth = np.where(np.isnan(view.base[at]), 0.0, volume - view.base[at])
        below = growth < 0
        self.counts["volume_backwards"] += int((below & (view.below_ms[at] == 0)).sum())
        view.below_ms[at[~below]] = 0
        view.below_ms[at[below & (view.below_ms[at] == 0)]] = asked_ms
        given_up = below & (asked_ms - view.below_ms[at] >= REBASE_AFTER_MS)
        view.base[at[given_up]] = volume[given_up]
        return np.maximum(growth, 0.0)

    def _gaps(self, view: _View, at: NDArray[np.int64], asked_ms: int) -> NDArray[np.bool_]:
        """Say of which symbols too much trading passed unseen."""
        found = np.zeros(len(at), np.bool_)
        since_ms = view.base_ms[at]
        for i in np.flatnonzero((asked_ms - since_ms > LONGEST_GAP_MS) & ~np.isnan(view.base[at])):
            missed = self._calendar.trading_ms(self._exchanges[at[i]], int(since_ms[i]), asked_ms)
            found[i] = missed > LONGEST_GAP_MS
        return found

    def _trade(
        self,
        board: Board,
        rows: NDArray[np.intp],
        at: NDArray[np.int64],
        minute: _Ints,
        growth: _Floats,
        now_ms: int,
    ) -> list[PriceBar]:
        """Add trades to the bars of their minutes; return what changed."""
        over = at[(self._minute[at] > 0) & (self._minute[at] != minute)]
        bars = self._close(over, now_ms)
        price = board.price[rows]
        begins = self._minute[at] == 0
        first_of_day = begins & np.isnan(self._today[at, 4]) & self._watched[at]
        opening = np.where(first_of_day & (board.open[rows] > 0), board.open[rows], price)
        fresh = at[begins]
        self._minute[fresh] = minute[begins]
        self._bar[fresh, :4] = opening[begins, None]
        self._bar[fresh, 4] = 0
        # A day's extreme that moved since the last board was traded in between.
        high, low = board.high[rows], board.low[rows]
        higher = (high > self._today[at, 1]) | (first_of_day & (high > 0))
        lower = (low > 0) & ((low < self._today[at, 2]) | first_of_day)
        self._bar[at, 1] = np.fmax(np.fmax(self._bar[at, 1], price), np.where(higher, high, price))
        self._bar[at, 2] = np.fmin(np.fmin(self._bar[at, 2], price), np.where(lower, low, price))
        self._bar[at, 3] = price
        self._bar[at, 4] += growth
        growing = at[self._minute[at] + MINUTE_MS > now_ms]  # the others are closed next
        return bars + [self._as_bar(i, board.source, now_ms) for i in growing.tolist()]

    def _note_day(self, board: Board, rows: NDArray[np.intp], at: NDArray[np.int64]) -> None:
        columns = (board.open, board.high, board.low, board.price, board.volume)
        today = np.stack([column[rows] for column in columns], axis=1)
        today[~(today > 0)] = np.nan
        whole = ~np.isnan(today).any(axis=1)
        self._today[at[whole]] = today[whole]

    def close_due(self, now_ms: int) -> list[PriceBar]:
        """Return the bars whose minute is over at ``now_ms``, each once; to be called without a board too."""
        return self._close(np.flatnonzero((self._minute > 0) & (self._minute + MINUTE_MS <= now_ms)), now_ms)

    def _close(self, at: NDArray[np.intp] | NDArray[np.int64], now_ms: int) -> list[PriceBar]:
        bars = [self._as_bar(i, self._source, now_ms) for i in at.tolist()]
        self._floor[at] = self._minute[at] + MINUTE_MS
        self._minute[at] = 0
        return bars

    def _as_bar(self, i: int, source: str, now_ms: int) -> PriceBar:
        return _bar(self.symbols[i], "1m", int(self._minute[i]), self._bar[i], source, now_ms)

    def daily_bars(self, now_ms: int) -> list[PriceBar]:
        """Return the day's bar of every symbol that traded and whose bar changed since the last call."""
        changed = ~np.isnan(self._today[:, 4]) & (self._today != self._daily_sent).any(axis=1)
        self._daily_sent[changed] = self._today[changed]
        if self._day == dt.date.min:
            return []
        begin_ms = midnight_ms(self._day)
        return [
            _bar(self.symbols[i], "1d", begin_ms, self._today[i], self._source, now_ms)
            for i in np.flatnonzero(changed).tolist()
        ]

    def dump(self) -> bytes:
        """Return the state, so that a restart within the session loses nothing and takes nothing back."""
        return msgspec.msgpack.encode(
            _Saved(
                day=self._day.isoformat(),
                symbols=self.symbols,
                views={
                    name: [column.tobytes() for column in _columns(view)]
                    for name, view in self._views.items()
                },
                columns=[column.tobytes() for column in self._columns()],
                source=self._source,
                last_trade_ms=self.last_trade_ms,
            )
        )

    def load(self, state: bytes) -> None:
        """Go on from what ``dump`` returned; symbols may have come and gone since."""
        saved = msgspec.msgpack.decode(state, type=_Saved)
        self._start_day(dt.date.fromisoformat(saved.day))
        pairs = [(i, self._index[s]) for i, s in enumerate(saved.symbols) if s in self._index]
        old, at = np.array(pairs, np.int64).reshape(-1, 2).T

        def restore(columns: list[_Column], kept: list[bytes]) -> None:
            for column, data in zip(columns, kept, strict=True):
                column[at] = np.frombuffer(data, column.dtype).reshape(-1, *column.shape[1:])[old]

        for name, kept in saved.views.items():
            view = self._views[name] = _View.empty(len(self.symbols))
            restore(_columns(view), kept)
        restore(self._columns(), saved.columns)
        self._source, self.last_trade_ms = saved.source, saved.last_trade_ms

    def _columns(self) -> list[_Column]:
        return [self._minute, self._floor, self._watched, self._bar, self._today]


def _columns(view: _View) -> list[_Column]:
    return [view.before, view.base, view.base_ms, view.below_ms]


def _bar(symbol: str, interval: str, time_ms: int, values: _Floats, source: str, now_ms: int) -> PriceBar:
    opened, high, low, close, volume = values.tolist()
    return PriceBar(
        symbol=symbol,
        time=dt.datetime.fromtimestamp(time_ms / 1000, VIETNAM),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=int(volume),
        collected_at=dt.datetime.fromtimestamp(now_ms / 1000, VIETNAM),
        interval=interval,  # type: ignore[arg-type]
        source=source,
    )
