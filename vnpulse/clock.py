"""Time is passed in, so that live, replay and tests run the same code."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the present is."""

    def now_ms(self) -> int:
        """Return the present in epoch milliseconds."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Return the present in epoch milliseconds."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is set; for tests and backtests."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the present in epoch milliseconds."""
        return self._now_ms

    def advance(self, by_ms: int) -> None:
        """Move the present by ``by_ms`` milliseconds."""
        self._now_ms += by_ms
