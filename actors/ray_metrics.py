"""Measurements of an actor on the metrics endpoint of its Ray node."""

from __future__ import annotations

import logging
from functools import cache

import ray
from ray.util.metrics import Counter, Gauge, Histogram

from vnpulse.metric_families import LATENCY_BUCKETS_S, PIPELINE_FAMILIES
from vnpulse.metrics import Metrics

log = logging.getLogger(__name__)


ACTOR = "actor"
"""The label of every series with the name of the actor that measured, as ``vnpulse status`` shows it."""


class RayMetrics:
    """Metrics by way of Ray, which adds node and worker and puts ``ray_`` before each name.

    Only for processes that Ray started; ``actor`` is whose process it is. A recording takes about
    2 us; what fails to be recorded is logged and dropped.
    """

    def __init__(self, actor: str) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Gauge] = {}
        for family in PIPELINE_FAMILIES:
            name, labels = family.exported, (*family.labels, ACTOR)
            metric: Counter | Histogram | Gauge
            if family.kind == "counter":
                metric = self._counters[family.name] = Counter(name, family.about, labels)
            elif family.kind == "histogram":
                buckets = list(LATENCY_BUCKETS_S)
                metric = self._histograms[family.name] = Histogram(name, family.about, buckets, labels)
            else:
                metric = self._gauges[family.name] = Gauge(name, family.about, labels)
            metric.set_default_tags({ACTOR: actor})

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
    return RayMetrics(ray.get_runtime_context().get_actor_name() or "")
