"""What is counted and timed, behind one small interface; the exporters are behind it.

Names are dotted and fixed ("kafka.producer.latency"); what varies is a label (topic="alerts"), so
that an exporter can make one family of each name. Calls are made once a batch or a flush, never
once a record, and must return at once.
"""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Where measurements go. Safe to call from any thread; never raises."""

    def increment(self, name: str, by: float = 1.0, /, **labels: str) -> None:
        """Add ``by`` to a counter, which only grows."""

    def timing(self, name: str, seconds: float, /, **labels: str) -> None:
        """Add one duration to a distribution."""

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """Set what a quantity is now."""


class NoMetrics:
    """Measures nothing."""

    def increment(self, name: str, by: float = 1.0, /, **labels: str) -> None:
        """Do nothing."""

    def timing(self, name: str, seconds: float, /, **labels: str) -> None:
        """Do nothing."""

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """Do nothing."""


NO_METRICS: Metrics = NoMetrics()
