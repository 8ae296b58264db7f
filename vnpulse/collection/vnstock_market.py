"""vnstock's two sources as MarketSources: their columns and units become ours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vnpulse.clock import Clock
from vnpulse.collection.sources import Board, NothingThere, SourceUnavailable
from vnpulse.collection.vnstock_process import VnstockProcess
from vnpulse.messages import VIETNAM, PriceBar

VND_PER_UNIT = 1000
"""Boards are in VND, messages and histories in thousand VND."""

INTERVALS = {"1m": "1m", "1d": "1D"}
"""What is fetched, and vnstock's name for it."""


@dataclass(frozen=True)
class Dialect:
    """How one source names the columns of its board."""

    symbol: str
    price: str
    open: str
    high: str
    low: str
    volume: str
    time: str | None


DIALECTS = {
    "VCI": Dialect(
        symbol="listing.symbol",
        price="match.match_price",
        open="match.open_price",
        high="match.highest",
        low="match.lowest",
        volume="match.accumulated_volume",
        time=None,
    ),
    "KBS": Dialect(
        symbol="symbol",
        price="close_price",
        open="open_price",
        high="high_price",
        low="low_price",
        volume="volume_accumulated",
        time="time",
    ),
}


class VnstockMarket:
    """One of vnstock's sources, "VCI" or "KBS", asked through the shared process."""

    def __init__(self, source: str, process: VnstockProcess, clock: Clock) -> None:
        self.name = source.lower()
        self._source = source
        self._dialect = DIALECTS[source]
        self._process = process
        self._clock = clock

    def board(self, symbols: Sequence[str]) -> Board:
        """Return the board in thousand VND. Raises SourceError, also for an answer without rows: KBS
        swallows its failures and answers with none."""
        columns = self._process.call("board", self._source, symbols=list(symbols))
        names = self._dialect
        missing = [name for name in (names.symbol, names.price, names.volume) if name not in columns]
        if missing or not columns[names.symbol]:
            what = f"lacks {', '.join(missing)}" if columns and missing else "is empty"
            raise SourceUnavailable(f"{self.name}: the board {what}")
        listed = [str(symbol) for symbol in columns[names.symbol]]
        # A symbol that stands there twice counts once, as it stood last.
        last = {symbol: row for row, symbol in enumerate(listed)}
        rows = np.array(list(last.values()), np.int64)
        n = len(listed)

        def prices(name: str) -> NDArray[np.float64]:
            in_vnd = _numbers(columns.get(name, [None] * n))[rows] / VND_PER_UNIT
            in_vnd[~(in_vnd > 0)] = np.nan
            rounded: NDArray[np.float64] = np.round(in_vnd, 3)
            return rounded

        times = _numbers(columns[names.time])[rows] if names.time in columns else np.full(len(rows), np.nan)
        return Board(
            source=self.name,
            asked_ms=self._process.asked_ms,
            symbols=list(last),
            price=prices(names.price),
            open=prices(names.open),
            high=prices(names.high),
            low=prices(names.low),
            volume=_numbers(columns[names.volume])[rows],
            time_ms=np.where(np.isfinite(times), times, -1).astype(np.int64),
        )

    def history(self, symbol: str, interval: str, first: dt.date, last: dt.date) -> list[PriceBar]:
        """Return the bars of the days ``first`` to ``last``, time ascending. Raises SourceError.

        The days are kept to here: VCI answers with more than was asked for. Rows that are no bars
        (a price of nothing, a high below the close) are left for the check that every record passes.
        """
        columns = self._process.call(
            "history",
            self._source,
            symbol=symbol,
            interval=INTERVALS[interval],
            start=first.isoformat(),
            end=last.isoformat(),
        )
        fields = ("time", "open", "high", "low", "close", "volume")
        missing = [name for name in fields if name not in columns]
        if missing:
            raise SourceUnavailable(f"{self.name}: the history of {symbol} lacks {', '.join(missing)}")
        collected = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, VIETNAM)
        bars: dict[dt.datetime, PriceBar] = {}
        for row in zip(*(columns[name] for name in fields), strict=True):
            bar = _history_bar(symbol, interval, row, collected, self.name)
            if first <= bar.time.date() <= last:
                bars[bar.time] = bar
        if not bars:
            raise NothingThere(f"{self.name}: {symbol} has no {interval} bars from {first} to {last}")
        return [bars[time] for time in sorted(bars)]

    def close(self) -> None:
        """End the shared process."""
        self._process.close()


def _numbers(column: list[Any]) -> NDArray[np.float64]:
    """Return a column as numbers; what is none is NaN."""
    numbers = np.full(len(column), np.nan)
    for i, value in enumerate(column):
        if isinstance(value, int | float):
            numbers[i] = value
        elif isinstance(value, str):
            try:
                numbers[i] = float(value)
            except ValueError:
                continue
    return numbers


def _history_bar(
    symbol: str, interval: str, row: tuple[Any, ...], collected: dt.datetime, source: str
) -> PriceBar:
    time, opened, high, low, close, volume = row
    try:
        moment = dt.datetime.fromisoformat(time)
        figures = [float("nan") if value is None else float(value) for value in (opened, high, low, close)]
        shares = float(volume or 0)
    except (TypeError, ValueError) as error:
        raise SourceUnavailable(f"{source}: the history of {symbol} cannot be read: {error}") from None
    # Naive times are Vietnamese; a daily bar belongs to a day, whatever time a source puts on it.
    moment = moment.replace(tzinfo=VIETNAM) if moment.tzinfo is None else moment.astimezone(VIETNAM)
    if interval == "1d":
        moment = dt.datetime(moment.year, moment.month, moment.day, tzinfo=VIETNAM)
    opened, high, low, close = figures
    return PriceBar(
        symbol=symbol,
        time=moment,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=int(shares),
        collected_at=collected,
        interval=interval,  # type: ignore[arg-type]
        source=source,
    )
