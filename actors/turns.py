"""Taking turns: who feeds an analyzer goes before who asks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """One at a time, feeders first.

    A feeder waits for the turn in progress and for other feeders, never for those who ask: with
    analysis cut into slices, ingestion waits for one slice, however much there is to analyze. Those
    who ask cannot starve, because feeders do other work (a store write, a commit) between turns.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._feeders = 0
        self._askers = 0

    def waiting(self) -> int:
        """Return how many wait for a turn."""
        return self._feeders + self._askers

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """Take the next turn."""
        with self._changed:
            self._feeders += 1
            self._changed.wait_for(lambda: not self._taken)
            self._feeders -= 1
            self._taken = True
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Take a turn when no feeder wants one."""
        with self._changed:
            self._askers += 1
            self._changed.wait_for(lambda: not self._taken and not self._feeders)
            self._askers -= 1
            self._taken = True
        try:
            yield
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._taken = False
            self._changed.notify_all()
