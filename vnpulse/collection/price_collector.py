"""Prices: boards are polled during sessions, become bars, and silence is noticed."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from vnpulse.clock import Clock
from vnpulse.collection.bar_builder import MINUTE_MS, BarBuilder
from vnpulse.collection.fallback import FallbackMarket
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.settings import PriceSettings
from vnpulse.collection.sources import SourceError
from vnpulse.errors import SettingsError
from vnpulse.ids import derived_id
from vnpulse.market import Exchange
from vnpulse.messages import VIETNAM, Alert, AlertData
from vnpulse.publishing import MARKET_KEY
from vnpulse.store.alerts import AlertStore
from vnpulse.store.collection import CollectionStore
from vnpulse.trading_calendar import TradingCalendar, day_of

log = logging.getLogger(__name__)

BEFORE_OPEN_MS = 60_000
"""Polling begins this long before trading, so that the day's first trades are a difference too."""

AFTER_BLOCK_MS = 120_000
AFTER_CLOSE_MS = 300_000
"""Boards trail the market; the closing auction has run late."""

DAILY_PERIOD_MS = 300_000
"""How often the growing daily bar is sent; the last time after the close."""

STATE = "prices"


class _State(msgspec.Struct):
    builder: bytes
    quiet_since_ms: int
    daily_due_ms: int


class PriceCollector:
    """One step: send what could not be sent, poll what is due, close minutes, save the state.

    The state in the store follows what is on the broker: after a restart within the session the first
    board is subtracted from the last one before it, unless too much trading lies between.
    """

    name = STATE

    def __init__(
        self,
        settings: PriceSettings,
        calls_per_minute: float,
        market: FallbackMarket,
        exchange_of: Mapping[str, Exchange],
        calendar: TradingCalendar,
        outbox: Outbox,
        store: CollectionStore,
        alerts: AlertStore,
        clock: Clock,
    ) -> None:
        """``exchange_of``: the symbols to collect, with their exchanges. Raises SettingsError for more of
        them than can be polled each minute."""
        self._settings = settings
        self._market = market
        self._calendar = calendar
        self._outbox = outbox
        self._store = store
        self._alerts = alerts
        self._clock = clock
        symbols = sorted(exchange_of)
        self._exchanges = sorted(set(exchange_of.values()))
        size = settings.symbols_per_call
        self._batches = [symbols[i : i + size] for i in range(0, len(symbols), size)]
        period_s = poll_period_s(settings, len(self._batches), calls_per_minute)
        self._period_ms = period_s * 1000
        self._builder = BarBuilder(symbols, exchange_of, calendar)
        self._poll_due_ms = 0
        self._daily_due_ms = 0
        self._quiet_since_ms = 0
        self._failing_since_ms = 0
        self._silence_told = False
        self._restored = False
        self.counts: Counter[str] = Counter()

    def step(self) -> int:
        """Do what is due; return when to step next (epoch ms). Raises what broker and store raise."""
        self._restore()
        self._outbox.flush()
        now_ms = self._clock.now_ms()
        polled = self._in_window(now_ms) and now_ms >= self._poll_due_ms
        if polled:
            # Before minutes are closed: a board of the minute's very end still belongs to it.
            self._poll()
            self._poll_due_ms = (now_ms // self._period_ms + 1) * self._period_ms
            self._watch(self._clock.now_ms())
        closed = self._builder.close_due(self._clock.now_ms())
        if closed or polled:
            self._outbox.bars(closed)
            self._save()
        self._send_daily(now_ms)
        return self._next_step(now_ms)

    def poll_once(self) -> None:
        """Ask for the board now, whatever the time. Raises SourceError, and what broker and store raise."""
        self._restore()
        for batch in self._batches:
            board = self._market.board(batch)
            self._outbox.bars(self._builder.apply(board, self._clock.now_ms()))
        self._outbox.bars(self._builder.daily_bars(self._clock.now_ms()))
        self._save()

    def _poll(self) -> None:
        for batch in self._batches:
            try:
                board = self._market.board(batch)
            except SourceError as error:
                self.counts["failed_polls"] += 1
                if not self._failing_since_ms:
                    self._failing_since_ms = self._clock.now_ms()
                    log.warning("prices: %s", error)
                return
            self.counts["boards"] += 1
            if self._failing_since_ms:
                log.warning("prices: %s answers again", board.source)
                self._failing_since_ms = 0
            self._outbox.bars(self._builder.apply(board, self._clock.now_ms()))

    def _send_daily(self, now_ms: int) -> None:
        if now_ms < self._daily_due_ms and self._in_window(now_ms):
            return
        bars = self._builder.daily_bars(now_ms)
        self._daily_due_ms = (now_ms // DAILY_PERIOD_MS + 1) * DAILY_PERIOD_MS
        if bars:
            self._outbox.bars(bars)
            self._save()

    def _watch(self, now_ms: int) -> None:
        """Raise an alert, once, when nothing has traded for too long while trading was on."""
        if self._builder.last_trade_ms > self._quiet_since_ms:
            if self._silence_told:
                log.warning("prices: trades are seen again")
            self._quiet_since_ms, self._silence_told = self._builder.last_trade_ms, False
        if not self._quiet_since_ms:
            self._quiet_since_ms = now_ms
        # A night is not silence, and an exchange that trades longer than the others often is silent.
        blocks = [self._calendar.blocks(exchange, day_of(now_ms)) for exchange in self._exchanges]
        since_ms = max([self._quiet_since_ms, *(of_day[0][0] for of_day in blocks if of_day)])
        silent_ms = min(self._calendar.trading_ms(e, since_ms, now_ms) for e in self._exchanges)
        if silent_ms <= self._settings.silent_after_s * 1000 or self._silence_told:
            return
        alert = silence_alert(
            self._market.name,
            since_ms,
            now_ms,
            silent_ms,
            bool(self._failing_since_ms),
            self._market.last_error,
        )
        self._outbox.alert(alert)
        self._outbox.flush()
        self._alerts.write([alert])
        self._silence_told = True
        log.warning("prices: %s", alert.message)

    def _windows(self, day: dt.date) -> list[tuple[int, int]]:
        """Return when boards are worth asking for on ``day``."""
        windows = []
        for exchange in self._exchanges:
            blocks = self._calendar.blocks(exchange, day)
            for i, (begin, end) in enumerate(blocks):
                after = AFTER_CLOSE_MS if i == len(blocks) - 1 else AFTER_BLOCK_MS
                windows.append((begin - BEFORE_OPEN_MS, end + after))
        return sorted(windows)

    def _in_window(self, now_ms: int) -> bool:
        return any(begin <= now_ms <= end for begin, end in self._windows(day_of(now_ms)))

    def _next_step(self, now_ms: int) -> int:
        day = day_of(now_ms)
        for begin, end in self._windows(day):
            if now_ms < begin:
                return begin
            if now_ms <= end:
                return max(now_ms, min(self._poll_due_ms, (now_ms // MINUTE_MS + 1) * MINUTE_MS))
        return self._windows(self._calendar.next_trading_day(day))[0][0]

    def _restore(self) -> None:
        if self._restored:
            return
        saved = self._store.load(STATE)
        if saved is not None:
            try:
                state = msgspec.msgpack.decode(saved, type=_State)
                self._builder.load(state.builder)
                self._quiet_since_ms, self._daily_due_ms = state.quiet_since_ms, state.daily_due_ms
            except (msgspec.MsgspecError, ValueError) as error:
                # Of another version: what it knew of this session is in the topic up to its last board.
                log.warning("prices: the saved state cannot be read (%s); beginning anew", error)
        self._restored = True

    def _save(self) -> None:
        """Make what was collected durable, then the state that knows of it."""
        self._outbox.flush()
        state = _State(self._builder.dump(), self._quiet_since_ms, self._daily_due_ms)
        self._store.save(STATE, msgspec.msgpack.encode(state))

    def status(self) -> dict[str, Any]:
        """Return counters, and what is wrong if anything is."""
        counts = self.counts + self._outbox.counts + self._builder.counts + self._market.counts
        error = self._market.last_error if self._failing_since_ms else ""
        remark = f"from {self._market.active}"
        return {"error": error, "remark": remark, "counts": dict(counts), "last": self._outbox.last_rejection}

    def close(self) -> None:
        """Let go of the sources and the broker."""
        self._market.close()
        self._outbox.close()


def poll_period_s(settings: PriceSettings, calls: int, calls_per_minute: float) -> int:
    """Return the seconds between two polls of ``calls`` calls each; they go into a minute without a rest.

    Raises SettingsError if a round takes longer than the minute that a bar lasts.
    """
    fastest_s = max(settings.poll_seconds, math.ceil(calls * 60 / calls_per_minute))
    if fastest_s > 60:
        raise SettingsError(
            f"prices.symbols_per_call: was {settings.symbols_per_call}, that is {calls} calls a round, and at"
            f" {calls_per_minute:g} a minute a round takes longer than a bar lasts;"
            " raise it, or collect fewer symbols"
        )
    return next(seconds for seconds in range(fastest_s, 61) if 60 % seconds == 0)


def silence_alert(
    source: str, since_ms: int, now_ms: int, silent_ms: int, failing: bool, error: str
) -> Alert:
    """Return the alert about a feed that is silent; its id derives from when the silence began."""
    since = dt.datetime.fromtimestamp(since_ms / 1000, VIETNAM)
    cause = (
        f"the source fails: {error}" if failing else "the source answers; a halt, or a feed that stands still"
    )
    minutes = silent_ms / MINUTE_MS
    return Alert(
        alert_id=derived_id("silent-feed", source, since_ms),
        symbol=MARKET_KEY,
        alert_type="risk_alert",
        priority="high",
        timestamp=dt.datetime.fromtimestamp(now_ms / 1000, VIETNAM),
        message=f"no trade of any symbol for {minutes:.0f} min of trading, since {since:%H:%M:%S} ({cause})",
        data=AlertData(
            final_score=0.0,
            recommendation="HOLD",
            target_price=None,
            explanation={
                "kind": "system",
                "rule": {
                    "name": "silent-feed",
                    "version": "1",
                    "condition": "minutes of continuous trading without a trade",
                    "value": round(minutes, 2),
                    "for_results": 1,
                },
                "components": {},
                "inputs": [],
                "source": source,
                "since": since.isoformat(),
            },
        ),
    )
