"""How many requests may still be sent: so many in any minute, so many in any day."""

from __future__ import annotations

import threading
from collections import deque

from vnpulse.clock import Clock

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


class RequestBudget:
    """Counts requests over sliding windows, in memory. Thread-safe."""

    def __init__(self, a_minute: int, a_day: int, clock: Clock) -> None:
        self._a_minute = a_minute
        self._a_day = a_day
        self._clock = clock
        self._sent_ms: deque[int] = deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Return whether one more request may be sent now, and count it if so."""
        with self._lock:
            now_ms = self._clock.now_ms()
            while self._sent_ms and self._sent_ms[0] <= now_ms - _DAY_MS:
                self._sent_ms.popleft()
            if len(self._sent_ms) >= self._a_day:
                return False
            within_minute = len(self._sent_ms) >= self._a_minute and (
                self._sent_ms[-self._a_minute] > now_ms - _MINUTE_MS
            )
            if within_minute:
                return False
            self._sent_ms.append(now_ms)
            return True
