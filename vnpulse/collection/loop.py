"""Steps a collector for as long as it takes, whatever its broker and store do."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, Protocol

from vnpulse.clock import Clock
from vnpulse.errors import VnpulseError

log = logging.getLogger(__name__)

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 15.0

LONGEST_WAIT_S = 30.0
"""A clock that is set, or a machine that slept, is noticed within this."""

NO_STATUS: dict[str, Any] = {"error": "", "remark": "", "counts": {}, "last": ""}


class Collector(Protocol):
    """What a loop steps: prices, news, the schedule."""

    name: str

    def step(self) -> int: ...
    def status(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class CollectionLoop:
    """One thread runs ``run``; others call ``health`` and ``stop``.

    A broker or store that is away is waited for: the collector keeps what it could not send and sends it
    first. Whatever else goes wrong ends the loop, and its owner begins anew from the saved state.
    """

    def __init__(self, make: Callable[[], Collector], clock: Clock, stopping: threading.Event) -> None:
        self._make = make
        self._clock = clock
        self._stopping = stopping
        self._collector: Collector | None = None
        self._error = ""

    def stop(self) -> None:
        """Ask ``run`` to return after the current step."""
        self._stopping.set()

    def run(self) -> None:
        """Step until ``stop``."""
        self._collector = collector = self._make()
        failures = 0
        try:
            while not self._stopping.is_set():
                try:
                    due_ms = collector.step()
                except VnpulseError as error:
                    if not error.retriable:
                        raise
                    if not self._error:
                        log.warning("%s: %s", collector.name, error)
                    self._error = str(error)
                    wait_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** min(failures, 10))
                    failures += 1
                    self._stopping.wait(wait_s * random.uniform(0.5, 1.0))
                    continue
                failures, self._error = 0, ""
                self._stopping.wait(max(0.0, min(LONGEST_WAIT_S, (due_ms - self._clock.now_ms()) / 1000)))
        finally:
            collector.close()

    def health(self) -> dict[str, Any]:
        """Return what the collector says of itself; ``error`` is what it waits for, the broker or the store,
        and ``trouble`` what is wrong with its sources: that is no fault of ours, and stops no start."""
        status = self._collector.status() if self._collector else NO_STATUS
        return {**status, "error": self._error, "trouble": status["error"]}
