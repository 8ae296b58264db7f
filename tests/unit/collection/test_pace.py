"""Politeness under a clock that stands still until it is set."""

from __future__ import annotations

import pytest

from vnpulse.clock import ManualClock
from vnpulse.collection.fallback import FallbackMarket
from vnpulse.collection.pace import CircuitBreaker, TokenBucket
from vnpulse.collection.price_collector import poll_period_s
from vnpulse.collection.settings import PriceSettings
from vnpulse.collection.sources import Board, NothingThere, SourceBlocked, SourceError, SourceUnavailable
from vnpulse.errors import SettingsError


def test_no_minute_has_more_calls_than_allowed_and_a_small_burst() -> None:
    clock = ManualClock(0)
    bucket = TokenBucket(15, clock, clock.advance)
    calls = []
    for _ in range(200):
        bucket.take()
        calls.append(clock.now_ms())
    most = max(sum(1 for at in calls if begin <= at < begin + 60_000) for begin in calls)
    assert 15 <= most <= 18
    assert calls[-1] == pytest.approx((200 - 3) * 4_000, abs=1_000)


def test_calls_that_others_made_for_us_are_paid_for() -> None:
    clock = ManualClock(0)
    bucket = TokenBucket(15, clock, clock.advance, burst=1)
    bucket.take()
    bucket.charge(2)
    bucket.take()
    assert clock.now_ms() == pytest.approx(12_000, abs=10)


def test_a_clock_that_is_set_back_earns_no_calls() -> None:
    clock = ManualClock(1_000_000)
    bucket = TokenBucket(15, clock, clock.advance, burst=1)
    bucket.take()
    clock.advance(-500_000)
    bucket.take()
    assert clock.now_ms() == pytest.approx(504_000, abs=10)


class Scripted:
    """A source that answers as it is told: an error, or a board without rows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: SourceError | None = None
        self.asked = 0

    def board(self, _: object) -> Board:
        self.asked += 1
        if self.error is not None:
            raise self.error
        import numpy as np

        none, never = np.empty(0), np.empty(0, np.int64)
        return Board(self.name, 0, [], none, none, none, none, none, never)

    def history(self, *_: object) -> list[object]:
        return [self.board(None)]

    def close(self) -> None: ...


def test_a_failing_source_is_left_alone_and_tried_again() -> None:
    clock = ManualClock(0)
    first, second = Scripted("vci"), Scripted("kbs")
    market = FallbackMarket([first, second], clock)  # type: ignore[list-item]
    first.error = SourceUnavailable("vci: away")
    for _ in range(10):
        assert market.board([]).source == "kbs"
    assert first.asked == 3
    clock.advance(60_000 + 12_000)
    market.board([])
    market.board([])
    assert first.asked == 4, "one trial, and it failed"
    first.error = None
    clock.advance(120_000 + 24_000)
    assert market.board([]).source == "vci"
    assert market.counts == {"failed_vci": 4, "switches": 2}


def test_a_source_that_blocks_is_left_alone_as_long_as_it_asks() -> None:
    clock = ManualClock(0)
    breaker = CircuitBreaker(clock, jitter=lambda: 0.0)
    breaker.blocked(600)
    clock.advance(599_999)
    assert not breaker.allows
    clock.advance(1)
    assert breaker.allows


def test_when_nobody_answers_each_trouble_is_told() -> None:
    first, second = Scripted("vci"), Scripted("kbs")
    market = FallbackMarket([first, second], ManualClock(0))  # type: ignore[list-item]
    first.error, second.error = SourceBlocked("vci: 429", 30), SourceUnavailable("kbs: empty")
    with pytest.raises(SourceUnavailable, match="vci: 429; kbs: empty"):
        market.board([])
    with pytest.raises(SourceUnavailable, match=r"vci is left alone for \d+ s; kbs: empty"):
        market.board([])


def test_nothing_there_is_no_failure() -> None:
    first, second = Scripted("vci"), Scripted("kbs")
    market = FallbackMarket([first, second], ManualClock(0))  # type: ignore[list-item]
    first.error = second.error = NothingThere("no such symbol")
    for _ in range(5):
        with pytest.raises(NothingThere):
            market.board([])
    assert first.asked == 5


@pytest.mark.parametrize(
    ("calls", "per_minute", "poll_seconds", "period_s"),
    [(1, 15, 15, 15), (4, 15, 15, 20), (1, 15, 25, 30), (15, 15, 15, 60), (1, 2, 5, 30)],
)
def test_polls_are_as_far_apart_as_the_pace_and_the_minute_allow(
    calls: int, per_minute: float, poll_seconds: int, period_s: int
) -> None:
    assert poll_period_s(PriceSettings(poll_seconds=poll_seconds), calls, per_minute) == period_s


def test_more_symbols_than_a_minute_has_calls_for_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"was 100, that is 16 calls a round, and at 15 a minute"):
        poll_period_s(PriceSettings(), 16, 15)
