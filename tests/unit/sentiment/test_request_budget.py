from __future__ import annotations

from vnpulse.clock import ManualClock
from vnpulse.sentiment.request_budget import RequestBudget


def test_so_many_a_minute_and_so_many_a_day() -> None:
    clock = ManualClock(1_000_000)
    budget = RequestBudget(2, 5, clock)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.advance(59_999)
    assert not budget.take()
    clock.advance(1)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.advance(60_000)
    assert [budget.take() for _ in range(2)] == [True, False], "five are a day's"
    clock.advance(86_400_000)
    assert budget.take()
