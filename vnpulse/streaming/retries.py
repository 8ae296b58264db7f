"""How often and after what wait a failure is tried again, and what then."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from vnpulse.errors import VnpulseError
from vnpulse.strict_model import StrictModel

Verdict = Literal["retry", "isolate", "dead_letter"]


class RetrySettings(StrictModel):
    """``kafka.retry``. The wait before retry n (from 0) is ``base_s * 2**n`` seconds, at most ``cap_s``."""

    max: Annotated[int, Field(ge=0, le=100)] = 3
    """Retries of a failure of unknown reason, before the records at fault are looked for."""
    base_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    cap_s: Annotated[float, Field(ge=0, le=3_600)] = 15.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Waits vary by this fraction to either side, so that many consumers do not come back as one."""
    outages: Literal["wait", "dead_letter"] = "wait"
    """What follows ``max`` retries while the store, the broker or an analyzer is away."""

    def verdict(self, error: Exception, attempts: int) -> Verdict:
        """Say what to do after ``attempts`` failed ones, the last with ``error``.

        An outage (``error.retriable``) says nothing about the records: they wait for its end, or
        all go to the dead letters if that was chosen. Any other of our own errors is permanent, so
        the records at fault are looked for at once; what we do not know is tried again first.
        """
        if isinstance(error, VnpulseError) and error.retriable:
            return "dead_letter" if self.outages == "dead_letter" and attempts > self.max else "retry"
        if isinstance(error, VnpulseError) or attempts > self.max:
            return "isolate"
        return "retry"

    def wait_s(self, retry: int) -> float:
        """Return how long to wait before retry number ``retry``, counted from 0."""
        wait_s = min(self.cap_s, self.base_s * 2.0 ** min(retry, 32))
        return wait_s * random.uniform(1 - self.jitter, 1 + self.jitter)
