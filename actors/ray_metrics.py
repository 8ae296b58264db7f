"""Measurements of an actor on the metrics endpoint of its Ray node."""

from __future__ import annotations

import logging
from functools import cache

from ray.util.metrics import Counter, Gauge, Histogram

from vnpulse.metric_families import LATENCY_BUCKETS_S, PIPELINE_FAMILIES
from vnpulse.metrics import Metrics

log = logging.getLogger(__name__)


class RayMetrics:
    """Metrics by way of Ray, which adds node and worker and puts ``ray_`` before each name.

    Only for processes that Ray started. A recording takes about 2 us; what fails to be recorded is
    logged and dropped.
    """

    def __init__(self) -> None:
        families = PIPELINE_FAMILIES
        self._counters = {
            f.name: Counter(f.exported, f.about, f.labels) for f in families if f.kind == "counter"
        }
        self._histograms = {
            f.name: Histogram(f.exported, f.about, list(LATENCY_BUCKETS_S), f.labels)
            for f in families
            if f.kind == "histogram"
        }
        self._gauges = {f.name: Gauge(f.exported, f.about, f.labels) for f in families if f.kind == "gauge"}

    def increment(self, name: str, by: float = 1.0, /, **labels: str) -> None:
        """Add ``by`` to a counter. See Metrics."""
        try:
            self._counters[name].inc(by, labels)
        except Exception:
            log.exception("counting %s", name)

    def timing(self, name: str, seconds: float, /, **labels: str) -> None:
        """Add one duration to a distribution. See Metrics."""
        try:
            self._histograms[name].observe(seconds, labels)
        except Exception:
            log.exception("timing %s", name)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """Set what a quantity is now. See Metrics."""
        try:
            self._gauges[name].set(value, labels)
        except Exception:
            log.exception("setting %s", name)


@cache
def ray_metrics() -> Metrics:
    """Return the metrics of this process: a name may be registered only once."""
    return RayMetrics()
