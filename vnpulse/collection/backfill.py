"""History in chunks: each is fetched, checked, sent and noted, so that a killed run goes on where it was."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from vnpulse.clock import Clock
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.sources import MarketSource, NothingThere, SourceError
from vnpulse.market import Exchange
from vnpulse.messages import VIETNAM, PriceBar
from vnpulse.store.collection import CollectionStore, DoneChunk
from vnpulse.trading_calendar import TradingCalendar, day_of

log = logging.getLogger(__name__)

ATTEMPTS = 4
RETRY_PAUSE_MS = 20_000
FAILED_IN_A_ROW = 3
"""So many chunks that nobody delivers mean that the sources are away, and asking on is no use."""

AFTER_BLOCK_MS = 60_000
"""The closing auction's bar lies in the minute after its block."""


class Chunk(NamedTuple):
    """The bars of a symbol from ``first`` to ``last``, both included."""

    symbol: str
    interval: str
    first: dt.date
    last: dt.date

    @property
    def id(self) -> str:
        """The same for the same bars."""
        return f"{self.symbol}:{self.interval}:{self.first}:{self.last}"


class Outcome(NamedTuple):
    """What became of a chunk; ``gaps`` are days, or halves of days, without a bar."""

    chunk: Chunk
    bars: int
    gaps: list[str]
    fetched: bool
    error: str


def chunks_of(symbols: Sequence[str], interval: str, first: dt.date, last: dt.date) -> list[Chunk]:
    """Cut a range into months of one-minute bars, or years of daily ones: one request each."""
    chunks = []
    for symbol in symbols:
        begin = first
        while begin <= last:
            if interval == "1d":
                following = dt.date(begin.year + 1, 1, 1)
            else:
                following = (begin.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
            chunks.append(Chunk(symbol, interval, begin, min(last, following - dt.timedelta(days=1))))
            begin = following
    return chunks


class Backfill:
    """Fetches what has not been fetched yet.

    A chunk is noted when its bars are on the broker and its last day is over. A run that is killed
    between the two sends the chunk once more; the store holds each bar once. A chunk for which there is
    nothing at all is not noted: it is asked for again by the next run.
    """

    def __init__(
        self,
        market: MarketSource,
        exchange_of: Mapping[str, Exchange],
        calendar: TradingCalendar,
        outbox: Outbox,
        store: CollectionStore,
        clock: Clock,
        pause_ms: Callable[[int], None],
    ) -> None:
        self._market = market
        self._exchange_of = exchange_of
        self._calendar = calendar
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._pause_ms = pause_ms

    def run(self, chunks: Sequence[Chunk]) -> Iterator[Outcome]:
        """Yield the outcome of each chunk, as it is reached. Raises what broker and store raise."""
        done: dict[str, list[DoneChunk]] = {}
        for interval in {chunk.interval for chunk in chunks}:
            for noted in self._store.done_chunks(interval, sorted({chunk.symbol for chunk in chunks})):
                done.setdefault(f"{noted.symbol}:{interval}", []).append(noted)
        failed = 0
        for chunk in chunks:
            before = next(
                (
                    noted
                    for noted in done.get(f"{chunk.symbol}:{chunk.interval}", ())
                    if noted.first <= chunk.first.isoformat() and chunk.last.isoformat() <= noted.last
                ),
                None,
            )
            if before is not None:
                gaps = [g for g in before.gaps if chunk.first.isoformat() <= g[:10] <= chunk.last.isoformat()]
                yield Outcome(chunk, 0, gaps, False, "")
                continue
            if failed >= FAILED_IN_A_ROW:
                yield Outcome(chunk, 0, [], False, "not tried: the sources are away")
                continue
            outcome = self._fetch(chunk)
            failed = failed + 1 if outcome.error else 0
            yield outcome

    def _fetch(self, chunk: Chunk) -> Outcome:
        for attempt in range(ATTEMPTS):
            try:
                bars = self._market.history(chunk.symbol, chunk.interval, chunk.first, chunk.last)
            except NothingThere:
                return Outcome(chunk, 0, self._gaps(chunk, []), True, "")
            except SourceError as error:
                log.info("%s: %s", chunk.id, error)
                if attempt + 1 == ATTEMPTS:
                    return Outcome(chunk, 0, [], True, str(error))
                self._pause_ms(RETRY_PAUSE_MS * 2**attempt)
                continue
            break
        sent = self._outbox.bars(bars)
        self._outbox.flush()
        gaps = self._gaps(chunk, bars)
        if chunk.last < day_of(self._clock.now_ms()):
            self._store.chunk_done(
                DoneChunk(
                    chunk.symbol, chunk.interval, chunk.first.isoformat(), chunk.last.isoformat(), sent, gaps
                )
            )
        return Outcome(chunk, sent, gaps, True, "")

    def _gaps(self, chunk: Chunk, bars: Sequence[PriceBar]) -> list[str]:
        """Return the trading days, or their halves, that are over and have no bar.

        A minute without a bar is no gap: nothing was traded in it.
        """
        now_ms = self._clock.now_ms()
        exchange = self._exchange_of[chunk.symbol]
        last = min(chunk.last, day_of(now_ms))
        if chunk.interval == "1d":
            have = {bar.time.date() for bar in bars}
            days = self._calendar.trading_days(chunk.first, last)
            over = [d for d in days if self._calendar.blocks(exchange, d)[-1][1] <= now_ms]
            return [day.isoformat() for day in over if day not in have]
        times = sorted(int(bar.time.timestamp() * 1000) for bar in bars)
        gaps = []
        for day in self._calendar.trading_days(chunk.first, last):
            blocks = [b for b in self._calendar.blocks(exchange, day) if b[1] <= now_ms]
            silent = [b for b in blocks if not any(b[0] <= t <= b[1] + AFTER_BLOCK_MS for t in times)]
            if silent and len(silent) == len(blocks):
                gaps.append(day.isoformat())
            else:
                gaps += [f"{day} {_at(begin)}-{_at(end)}" for begin, end in silent]
        return gaps


def _at(moment_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(moment_ms / 1000, VIETNAM):%H:%M}"


def merged_gaps(gaps: Sequence[str], calendar: TradingCalendar) -> list[str]:
    """Return ``gaps`` with whole days that follow each other as one range; half days as they are."""
    ranges: list[tuple[str, str, int]] = []
    for gap in gaps:
        if len(gap) == len("2025-07-28") and ranges and len(ranges[-1][1]) == len(gap):
            begin, end, count = ranges[-1]
            if calendar.next_trading_day(dt.date.fromisoformat(end)).isoformat() == gap:
                ranges[-1] = begin, gap, count + 1
                continue
        ranges.append((gap, gap, 1))
    return [begin if begin == end else f"{begin} to {end} ({count} days)" for begin, end, count in ranges]
