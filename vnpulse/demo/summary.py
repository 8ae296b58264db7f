"""The summary of a replay: what was sent, what came of it, and whether anything is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from vnpulse.demo.replay import Replay
from vnpulse.demo.sample import Sample
from vnpulse.demo.watcher import Watcher
from vnpulse.kafka.lags import LagReader
from vnpulse.settings import Settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.news import NewsStore


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds between two appends; None without a measurement."""

    p50_ms: float | None
    p99_ms: float | None


class Summary(msgspec.Struct, frozen=True):
    """What ``vnpulse demo`` ends with. ``problems`` is empty when nothing is missing or doubled."""

    bars_sent: int
    bars_stored: int
    bars_analysed: int
    news_sent: int
    news_stored: int
    news_analysed: int
    results: int
    alerts: int
    alerts_by_type: dict[str, int]
    dead_letters: int
    lag: int
    replay_s: float
    first_alert_s: float | None
    bar_to_result: Latency
    bar_to_alert: Latency
    problems: list[str]


def summarize(
    sample: Sample,
    replay: Replay,
    watcher: Watcher,
    settings: Settings,
    replay_s: float,
    first_alert_s: float | None,
) -> Summary:
    """Compare what was sent with what the store and the topics hold now."""
    database = connect(settings.store)
    bars = BarStore(database)
    stored = sum(bars.count_between(interval, sample.first_day, sample.last_day) for interval in ("1m", "1d"))
    articles = NewsStore(database).ids_since(0) & sample.article_ids
    with LagReader(settings.kafka) as reader:
        lag = sum(row.lag for row in reader.read())
        dead_letters = sum(reader.dead_letters().values())
    analysed = len(watcher.analysed_bars & sample.analysed_bars)
    read = len(watcher.analysed_articles & sample.article_ids)
    problems = [
        text
        for wrong, text in (
            (not replay.finished, f"replay did not finish: {replay.failure or 'cancelled'}"),
            (stored != sample.bar_count, f"{sample.bar_count - stored} bars are not stored"),
            (
                analysed != len(sample.analysed_bars),
                f"{len(sample.analysed_bars) - analysed} minute bars have no result",
            ),
            (
                len(articles) != sample.news_count,
                f"{sample.news_count - len(articles)} articles are not stored",
            ),
            (read != sample.news_count, f"{sample.news_count - read} articles have no result"),
            (lag != 0, f"lag is {lag}"),
            (dead_letters != 0, f"{dead_letters} dead letters"),
            (_doubled(watcher.result_ids) > 0, f"{_doubled(watcher.result_ids)} results came twice"),
            (_doubled(watcher.alert_ids) > 0, f"{_doubled(watcher.alert_ids)} alerts came twice"),
        )
        if wrong
    ]
    return Summary(
        bars_sent=replay.bars_sent,
        bars_stored=stored,
        bars_analysed=analysed,
        news_sent=replay.news_sent,
        news_stored=len(articles),
        news_analysed=read,
        results=sum(watcher.result_ids.values()),
        alerts=sum(watcher.alerts_by_type.values()),
        alerts_by_type=dict(sorted(watcher.alerts_by_type.items())),
        dead_letters=dead_letters,
        lag=lag,
        replay_s=round(replay_s, 1),
        first_alert_s=None if first_alert_s is None else round(first_alert_s, 1),
        bar_to_result=_latency(watcher.result_latency_ms),
        bar_to_alert=_latency(watcher.alert_latency_ms),
        problems=problems,
    )


def _doubled(counts: Any) -> int:
    return sum(count - 1 for count in counts.values() if count > 1)


def _latency(samples: Sequence[int]) -> Latency:
    if not samples:
        return Latency(None, None)
    p50, p99 = np.percentile(np.array(samples), [50, 99])
    return Latency(round(float(p50), 1), round(float(p99), 1))
