"""A market that trades by the second, and the edges that collectors talk to."""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from vnpulse.clock import ManualClock
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.sources import Board, SourceUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.market import load_market
from vnpulse.messages import VIETNAM, Alert, PriceBar
from vnpulse.trading_calendar import TradingCalendar

NAN = float("nan")


def ms(text: str) -> int:
    """Return Vietnamese local time as epoch milliseconds."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=VIETNAM).timestamp() * 1000)


class Trade(NamedTuple):
    """One match: epoch milliseconds, thousand VND, shares."""

    at_ms: int
    price: float
    volume: int


class Exchanges:
    """A MarketSource that knows every trade of a day, and shows what a board would at the clock's present."""

    def __init__(
        self,
        clock: ManualClock,
        trades: dict[str, list[Trade]],
        name: str = "vci",
        outages: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.name = name
        self.asked: list[int] = []
        self._clock = clock
        self._outages = outages
        self._times = {symbol: [t.at_ms for t in of_symbol] for symbol, of_symbol in trades.items()}
        # What the board shows after each trade; before the first one, nothing.
        self._rows: dict[str, list[tuple[float, ...]]] = {}
        for symbol, of_symbol in trades.items():
            rows = self._rows[symbol] = [(NAN, NAN, NAN, NAN, 0.0)]
            for _, price, volume in of_symbol:
                _, opened, high, low, total = rows[-1]
                first = len(rows) == 1
                rows.append(
                    (
                        price,
                        price if first else opened,
                        price if first else max(high, price),
                        price if first else min(low, price),
                        total + volume,
                    )
                )

    def board(self, symbols: Sequence[str]) -> Board:
        now_ms = self._clock.now_ms()
        self.asked.append(now_ms)
        if any(begin <= now_ms < end for begin, end in self._outages):
            raise SourceUnavailable(f"{self.name}: is away")
        rows = [self._rows[s][bisect.bisect_left(self._times[s], now_ms)] for s in symbols]
        price, opened, high, low, volume = np.array(rows, np.float64).T
        times = np.full(len(rows), -1, np.int64)
        return Board(self.name, now_ms, list(symbols), price, opened, high, low, volume, times)

    def history(self, *_: object) -> list[PriceBar]:
        raise NotImplementedError

    def close(self) -> None: ...


def bars_of(trades: Iterable[Trade]) -> dict[int, tuple[float, float, float, float, int]]:
    """Return the minute bars of one symbol's trades by the plain definition."""
    minutes: dict[int, list[Trade]] = {}
    for trade in trades:
        minutes.setdefault(trade.at_ms // 60_000 * 60_000, []).append(trade)
    return {
        minute: (
            of_minute[0].price,
            max(t.price for t in of_minute),
            min(t.price for t in of_minute),
            of_minute[-1].price,
            sum(t.volume for t in of_minute),
        )
        for minute, of_minute in minutes.items()
    }


def shown(bar: PriceBar) -> tuple[float, float, float, float, int]:
    """Return a bar's figures."""
    return bar.open, bar.high, bar.low, bar.close, int(bar.volume)


@dataclass
class MemoryStates:
    """CollectionStore and AlertStore without a server."""

    states: dict[str, bytes] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)

    def load(self, name: str) -> bytes | None:
        return self.states.get(name)

    def save(self, name: str, state: bytes) -> None:
        self.states[name] = state

    def write(self, alerts: Iterable[Alert]) -> None:
        self.alerts += alerts


class BrokerAtHand:
    """A producer whose records are durable when flushed; ``failures`` are raised by the next flushes."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.log: list[tuple[str, str, Any, dict[str, str]]] = []
        self._queued: list[tuple[str, str, Any, dict[str, str]]] = []

    def send(
        self, topic: str, key: Any, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        self._queued.append((topic, key, value, {name: text.decode() for name, text in headers}))

    def flush(self) -> None:
        queued, self._queued = self._queued, []
        if self.failures:
            raise self.failures.pop(0)
        self.log += queued

    def close(self) -> None: ...

    def messages(self, topic: str, kind: type) -> list[Any]:
        return [msgspec.json.decode(value, type=kind) for name, _, value, _ in self.log if name == topic]


@pytest.fixture
def calendar() -> TradingCalendar:
    return TradingCalendar(load_market())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(ms("2025-07-28T08:00:00"))


@pytest.fixture
def broker() -> BrokerAtHand:
    return BrokerAtHand()


@pytest.fixture
def states() -> MemoryStates:
    return MemoryStates()


@pytest.fixture
def make_outbox(broker: BrokerAtHand, clock: ManualClock) -> Callable[[], Outbox]:
    def make() -> Outbox:
        dead_letters = DeadLetters(PlainOutputs(broker), "collector")  # type: ignore[arg-type]
        return Outbox(broker, dead_letters, KafkaSettings(), clock)  # type: ignore[arg-type]

    return make


def run_until(collectors: Sequence[Any], clock: ManualClock, end_ms: int) -> Iterator[int]:
    """Step each collector when it asked to be, as the loop does; yield the times of steps."""
    due = [clock.now_ms()] * len(collectors)
    while (now_ms := max(min(due), clock.now_ms())) < end_ms:
        clock.advance(now_ms - clock.now_ms())
        for i, collector in enumerate(collectors):
            if due[i] <= now_ms:
                due[i] = collector.step()
                assert due[i] > now_ms, "a step that asks for the same moment again would spin"
        yield now_ms
    clock.advance(end_ms - clock.now_ms())
