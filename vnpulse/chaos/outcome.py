"""What came of a replay, in terms that two runs can be compared by, and how two of them differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from vnpulse.demo.sample import Sample
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.lags import LagReader
from vnpulse.messages import Alert, AnalysisResult
from vnpulse.settings import Settings
from vnpulse.store.alerts import AlertStore
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.news import NewsStore
from vnpulse.topics import ALERTS, NEWS, PRICES, RESULTS, load_topics

POLL_MS = 200
MOST_ALERTS = 100_000
SHOWN = 3

ResultKey = tuple[str, str, str]
"""Analysis, symbol, and the bar's interval and time or the article's id."""

AlertKey = tuple[str, str, str, str]
"""Symbol, rule, market time, and the fused score."""


@dataclass
class Outcome:
    """What a run has left. Ids are not compared between runs: they name topics and offsets."""

    bars: dict[tuple[str, str], dict[int, tuple[float, ...]]]
    articles: set[str]
    results: dict[ResultKey, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By what it is about, the ids of all its results: one, unless something went wrong."""
    bodies: dict[ResultKey, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    alerts: dict[AlertKey, set[str]] = field(default_factory=lambda: defaultdict(set))
    stored_alerts: set[str] = field(default_factory=set)
    copies: Counter[str] = field(default_factory=Counter)
    """How often each id of a result or alert is in its topic."""
    raw_records: int = 0
    dead_letters: int = 0
    lag: int = 0

    @property
    def repeated(self) -> int:
        """Records in the topics whose id was there already."""
        return sum(count - 1 for count in self.copies.values())


def collect(sample: Sample, settings: Settings) -> Outcome:
    """Read what the store and the topics hold now; committed records only."""
    database = connect(settings.store)
    with database.client:
        bars = BarStore(database)
        outcome = Outcome(
            bars={
                (symbol, interval): {
                    row[0]: tuple(row[1:6])
                    for row in bars.between(symbol, interval, sample.first_day, sample.last_day)
                }
                for symbol in sample.symbols
                for interval in ("1m", "1d")
            },
            articles=NewsStore(database).ids_since(0) & sample.article_ids,
            stored_alerts={alert.alert_id for alert in AlertStore(database).recent(0, MOST_ALERTS)},
        )
    for value in _records(settings, RESULTS):
        result = msgspec.json.decode(value, type=AnalysisResult)
        about = result_key(result)
        outcome.results[about].add(result.result_id)
        outcome.bodies[about].add(msgspec.json.encode(result.results))
        outcome.copies[result.result_id] += 1
    for value in _records(settings, ALERTS):
        alert = msgspec.json.decode(value, type=Alert)
        rule, score = alert.data.explanation["rule"]["name"], f"{alert.data.final_score:+.4f}"
        outcome.alerts[alert.symbol, rule, alert.timestamp.isoformat(), score].add(alert.alert_id)
        outcome.copies[alert.alert_id] += 1
    with LagReader(settings.kafka) as reader:
        rows = reader.read()
        raw = {settings.kafka.topic(PRICES), settings.kafka.topic(NEWS)}
        outcome.raw_records = sum(row.end - row.begin for row in rows if row.topic in raw)
        outcome.lag = sum(row.lag for row in rows)
        outcome.dead_letters = sum(reader.dead_letters().values())
    return outcome


def result_key(result: AnalysisResult) -> ResultKey:
    """Return what a result is about."""
    details: dict[str, Any] = result.results.details
    if result.analysis_type == "technical":
        return "technical", result.symbol, f"{details['interval']} {details['bar_time']}"
    articles = details.get("articles") or [{"news_id": ""}]
    return result.analysis_type, result.symbol, articles[0]["news_id"]


def differences(calm: Outcome, stormy: Outcome) -> list[str]:
    """Return a line for each way in which ``stormy`` is not what ``calm`` is; none if it is the same."""
    problems = []
    if stormy.bars != calm.bars:
        wrong = [
            f"{symbol} {interval}"
            for (symbol, interval), rows in calm.bars.items()
            if stormy.bars.get((symbol, interval)) != rows
        ]
        problems.append(f"stored bars differ for {_some(wrong)}")
    problems += _sets("articles stored", calm.articles, stormy.articles)
    problems += _sets("results", set(calm.results), set(stormy.results))
    doubled = [" ".join(key) for key, ids in stormy.results.items() if len(ids) > 1]
    if doubled:
        problems.append(f"several result ids for one thing: {_some(doubled)}")
    torn = [" ".join(key) for key, said in stormy.bodies.items() if len(said) > 1]
    if torn:
        problems.append(f"results with one id that say different things: {_some(torn)}")
    changed = [" ".join(key) for key, said in calm.bodies.items() if said != stormy.bodies.get(key, said)]
    if changed:
        problems.append(f"{len(changed)} results say something else: {_some(changed)}")
    problems += _sets("alerts", set(calm.alerts), set(stormy.alerts))
    ids = {alert_id for ids in stormy.alerts.values() for alert_id in ids}
    if ids != stormy.stored_alerts:
        problems.append(f"{len(ids ^ stormy.stored_alerts)} alerts are in only one of topic and store")
    if any(len(ids) > 1 for ids in stormy.alerts.values()):
        problems.append("one alert has several ids")
    if stormy.lag:
        problems.append(f"lag is {stormy.lag}")
    if stormy.dead_letters:
        problems.append(f"{stormy.dead_letters} dead letters")
    return problems


def _records(settings: Settings, topic: str) -> list[bytes]:
    partitions = range(load_topics()[topic].partitions)
    consumer = AssignedConsumer(settings.kafka, settings.kafka.topic(topic), partitions, None, "outcome")
    values: list[bytes] = []
    try:
        ends = consumer.end_offsets()
        while any(consumer.positions[p] < end for p, end in ends.items()):
            values += [value for batch in consumer.poll(POLL_MS) for value in batch.values if value]
    finally:
        consumer.close()
    return values


def _sets(what: str, wanted: set[Any], found: set[Any]) -> list[str]:
    lines = []
    for verb, rows in (("missing", wanted - found), ("too many", found - wanted)):
        if rows:
            lines.append(f"{len(rows)} {what} {verb}: {_some([_text(row) for row in rows])}")
    return lines


def _text(row: object) -> str:
    return " ".join(row) if isinstance(row, tuple) else str(row)


def _some(texts: list[str]) -> str:
    shown = ", ".join(sorted(texts)[:SHOWN])
    return shown + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")
