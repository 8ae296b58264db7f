"""kafka-python's own timings, observation by observation instead of as its moving averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.metrics.compound_stat import AbstractCompoundStat

FETCH_LATENCY, REQUEST_LATENCY = "fetch-latency", "request-latency"


class _Observed(AbstractCompoundStat):
    """A statistic that keeps nothing and hands every observation on."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe

    def stats(self) -> list[Any]:
        return []

    def record(self, config: Any, value: float, time_ms: float) -> None:
        self._observe(value / 1000)


def observe(client: KafkaConsumer | KafkaProducer, sensor: str, seconds: Callable[[float], None]) -> None:
    """Call ``seconds`` with every duration that ``sensor`` records: one a request, on the client's thread."""
    # The client publishes averages only; the sensors behind them are where a statistic is added.
    client._metrics.sensor(sensor).add_compound(_Observed(seconds))
