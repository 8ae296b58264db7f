"""Stores on the session's server, and batches to put into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.integration.market import minute_ms
from tests.integration.trial import Trial
from vnpulse.batches import BarBatch, Series
from vnpulse.store.alerts import AlertStore
from vnpulse.store.bars import BarStore
from vnpulse.store.news import NewsStore
from vnpulse.store.status import StatusStore

Row = tuple[str, str, int, float]
"""Symbol, interval, opening time (epoch ms), close."""


@pytest.fixture
def bars(trial: Trial) -> BarStore:
    store = BarStore(trial.database())
    store.ensure_indexes()
    return store


@pytest.fixture
def news(trial: Trial) -> NewsStore:
    store = NewsStore(trial.database())
    store.ensure_indexes()
    return store


@pytest.fixture
def alerts(trial: Trial) -> AlertStore:
    store = AlertStore(trial.database())
    store.ensure_indexes()
    return store


@pytest.fixture
def statuses(trial: Trial) -> StatusStore:
    return StatusStore(trial.database())


def batch(
    rows: Sequence[Row],
    *,
    topic: str = "prices",
    partition: int = 0,
    start: int = 0,
    closed: bool = True,
    append_ms: int = 1_000,
) -> BarBatch:
    """Return a batch of ``rows`` at the offsets from ``start`` on; partition -1: not from Kafka."""
    n = len(rows)
    series: dict[Series, int] = {}
    codes = [series.setdefault(Series(symbol, interval), len(series)) for symbol, interval, _, _ in rows]
    from_kafka = partition >= 0
    close = np.array([row[3] for row in rows], dtype=np.float64)
    return BarBatch(
        topic=topic if from_kafka else "",
        partition=partition,
        start_offset=start if from_kafka else -1,
        next_offset=start + n if from_kafka else -1,
        series=list(series),
        codes=np.array(codes, dtype=np.int32),
        time_ms=np.array([row[2] for row in rows], dtype=np.int64),
        prices=np.stack((close, close + 1, close - 1, close), axis=1),
        volume=np.full(n, 100.0),
        closed=np.full(n, closed, dtype=np.bool_),
        offsets=np.arange(start, start + n, dtype=np.int64) if from_kafka else np.full(n, -1, dtype=np.int64),
        append_ms=np.full(n, append_ms if from_kafka else 0, dtype=np.int64),
    )


def minutes(symbol: str, first: int, count: int, close: float = 10.0) -> list[Row]:
    """Return consecutive minute bars."""
    return [(symbol, "1m", minute_ms(i), close + i) for i in range(first, first + count)]
