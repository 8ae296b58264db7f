"""Politeness: how often a source is asked, and when it is left alone."""

from __future__ import annotations

import random
from collections.abc import Callable

from vnpulse.clock import Clock

FAILURES_TO_OPEN = 3
COOLDOWN_MS = 60_000
COOLDOWN_CAP_MS = 120_000
"""One request in two minutes bothers no source, and prices are back soon after it is."""

BLOCKED_COOLDOWN_MS = 300_000
"""A source that refuses us without saying for how long is left alone this long."""

JITTER = 0.2


class TokenBucket:
    """At most ``per_minute`` calls a minute in the long run, and no burst above ``burst``."""

    def __init__(
        self, per_minute: float, clock: Clock, pause_ms: Callable[[int], None], burst: float = 3
    ) -> None:
        """``pause_ms`` waits so many milliseconds of ``clock``."""
        self._per_ms = per_minute / 60_000
        self._burst = min(burst, per_minute)
        self._clock = clock
        self._pause_ms = pause_ms
        self._tokens = self._burst
        self._counted_ms = clock.now_ms()

    def take(self) -> None:
        """Wait until a call is due, and count it."""
        self._refill()
        if self._tokens < 1:
            self._pause_ms(int((1 - self._tokens) / self._per_ms) + 1)
            self._refill()
        self._tokens -= 1

    def charge(self, calls: float) -> None:
        """Count calls that somebody made on our behalf, such as a library's own retries."""
        self._tokens -= calls

    def _refill(self) -> None:
        now_ms = self._clock.now_ms()
        elapsed = max(0, now_ms - self._counted_ms)  # a clock that was set back earns nothing
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_ms)
        self._counted_ms = now_ms


class CircuitBreaker:
    """Leaves a failing source alone: after some failures in a row for a minute, then for two.

    When the time is over one call is let through; its success closes the circuit, its failure opens it
    again. A source that asked us to stay away is left alone for as long as it said. Cooldowns are
    jittered, so that many collectors do not come back as one burst.
    """

    def __init__(self, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        """``jitter`` returns numbers in [0, 1)."""
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._opened = 0
        self._until_ms = 0

    @property
    def allows(self) -> bool:
        """Whether a call may be made now."""
        return self._clock.now_ms() >= self._until_ms

    @property
    def closes_in_s(self) -> float:
        """How long the source is still left alone, seconds."""
        return max(0.0, (self._until_ms - self._clock.now_ms()) / 1000)

    def succeeded(self) -> None:
        """Note an answer."""
        self._failures = self._opened = 0

    def failed(self) -> None:
        """Note a failure."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._open(min(COOLDOWN_CAP_MS, COOLDOWN_MS * 2**self._opened))

    def blocked(self, retry_after_s: float | None) -> None:
        """Note that the source asked us to stay away."""
        self._failures = FAILURES_TO_OPEN
        asked_ms = BLOCKED_COOLDOWN_MS if retry_after_s is None else int(retry_after_s * 1000)
        self._open(max(COOLDOWN_MS, asked_ms))

    def _open(self, cooldown_ms: int) -> None:
        self._opened = min(self._opened + 1, 10)
        self._until_ms = self._clock.now_ms() + int(cooldown_ms * (1 + JITTER * self._jitter()))
