"""Metrics that a test looks at afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict

Key = tuple[str, frozenset[tuple[str, str]]]


class RecordedMetrics:
    """Keeps what it is told; see vnpulse.metrics.Metrics."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._timings: defaultdict[Key, list[float]] = defaultdict(list)

    def increment(self, name: str, by: float = 1.0, /, **labels: str) -> None:
        self._counts[name, frozenset(labels.items())] += by  # type: ignore[assignment]

    def timing(self, name: str, seconds: float, /, **labels: str) -> None:
        self._timings[name, frozenset(labels.items())].append(seconds)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        raise AssertionError(f"no gauge is recorded yet, was {name}")

    def count(self, name: str, **labels: str) -> float:
        return self._counts[name, frozenset(labels.items())]

    def timings(self, name: str, **labels: str) -> list[float]:
        return self._timings[name, frozenset(labels.items())]
