"""A morning of real market data through four drivers that are restarted, and killed, in the middle of it."""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from tests.integration.decisions import expected_alerts
from tests.integration.trial import Driver, Trial
from tests.integration.waiting import eventually
from vnpulse.demo.sample import Sample, load_sample
from vnpulse.messages import VIETNAM, Alert, NewsItem, PriceBar
from vnpulse.store.alerts import AlertStore
from vnpulse.store.bars import BarStore
from vnpulse.store.news import NewsStore
from vnpulse.store.status import StatusStore
from vnpulse.topics import ALERTS, CONSUMED, NEWS, PRICES

# Nearly everything happens in the fixture; on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(600)

MODULES = ("storage", "analysis", "aggregation", "notification")
KILLED = ("storage", "aggregation")
SYMBOLS = ("ACB", "BID", "CTG", "FPT", "HPG", "MBB", "SSI", "VCB", "VIC", "VIX", "VND", "VNINDEX")
LUNCH = "11:30"


@dataclass
class Morning:
    """What was sent, and what had come of it when the graceful part was over."""

    trial: Trial
    sample: Sample
    bars: list[PriceBar] = field(default_factory=list)
    articles: list[NewsItem] = field(default_factory=list)
    stop_statuses: list[int | None] = field(default_factory=list)
    results_after_graceful: list[str] = field(default_factory=list)
    alerts_after_graceful: list[str] = field(default_factory=list)
    drained: bool = False
    actors_at_first: dict[str, int] = field(default_factory=dict)
    last_stop_statuses: list[int | None] = field(default_factory=list)
    actors_after: dict[str, int] = field(default_factory=dict)
    statuses_after: list[dict[str, Any]] = field(default_factory=list)
    logs: str = ""

    def send(self, minutes: list[int]) -> None:
        """Publish some minutes of the sample, news first as the replay does."""
        for index in minutes:
            self.trial.publish(NEWS, self.sample.news[index])
            self.trial.publish(PRICES, self.sample.bars[index])
            self.articles += [msgspec.json.decode(v, type=NewsItem) for _, v in self.sample.news[index]]
            self.bars += [msgspec.json.decode(v, type=PriceBar) for _, v in self.sample.bars[index]]

    def alert_ids(self) -> list[str]:
        return [
            msgspec.json.decode(record.value or b"", type=Alert).alert_id
            for record in self.trial.records(ALERTS)
        ]


def morning_of(sample: Sample) -> list[int]:
    """Return the indices of the minutes of the first day up to lunch."""
    return [
        index
        for index, minute in enumerate(sample.minutes)
        if (moment := dt.datetime.fromtimestamp(minute / 1000, VIETNAM)).date().isoformat()
        == sample.first_day
        and f"{moment:%H:%M}" <= LUNCH
    ]


def parts(minutes: list[int], count: int) -> Iterator[list[int]]:
    """Cut ``minutes`` into consecutive pieces of nearly the same length."""
    for i in range(count):
        yield minutes[len(minutes) * i // count : len(minutes) * (i + 1) // count]


@pytest.fixture(scope="module")
def morning(make_trial: Callable[[], Trial]) -> Morning:
    """Half of the morning with each driver restarted once, the rest with drivers killed."""
    trial = make_trial()
    # Drivers are away for longer than anybody would wait for news, on a busy machine.
    trial.write_config(aggregation={"wait_s": 3_600})
    trial.apply_topics()
    morning = Morning(trial, load_sample(SYMBOLS))
    BarStore(trial.database()).write([morning.sample.history])
    drivers: dict[str, Driver] = dict(zip(MODULES, trial.run_pipelines(*MODULES), strict=True))
    morning.actors_at_first = trial.actors()
    # One piece before, one into each restart, and the last into the kills.
    pieces = parts(morning_of(morning.sample), len(MODULES) + 3)

    morning.send(next(pieces))
    for name in MODULES:
        piece = next(pieces)
        morning.send(piece[: len(piece) // 2])
        # At once: what was just sent is in flight.
        morning.stop_statuses.append(drivers[name].terminate())
        drivers[name] = trial.driver(name)
        drivers[name].start()
        morning.send(piece[len(piece) // 2 :])
        drivers[name].wait_until_running()
    trial.drained()
    morning.results_after_graceful = [result.result_id for result in trial.results()]
    morning.alerts_after_graceful = morning.alert_ids()

    piece = next(pieces)
    morning.send(piece[: len(piece) // 2])
    running = trial.actors()
    for name in KILLED:
        # The driver, the supervisor that would go on without it, and who did the work.
        drivers[name].kill()
        for actor, pid in running.items():
            if actor == f"supervisor/{name}" or actor.startswith(f"{name}/"):
                os.kill(pid, signal.SIGKILL)
    morning.send(piece[len(piece) // 2 :])
    for name in KILLED:
        drivers[name] = trial.driver(name)
        drivers[name].start()
    for name in KILLED:
        drivers[name].wait_until_running()
    morning.send(next(pieces))
    morning.drained = trial.drained()
    morning.last_stop_statuses = [drivers[name].terminate() for name in MODULES]
    eventually(lambda: not trial.actors())
    morning.actors_after = trial.actors()
    morning.statuses_after = StatusStore(trial.database()).read()
    morning.logs = "".join(path.read_text() for path in trial.folder.glob("*.log"))
    return morning


def test_every_driver_that_was_asked_to_stop_did_so_in_order(morning: Morning) -> None:
    assert morning.stop_statuses == [0] * len(MODULES)
    assert morning.last_stop_statuses == [0] * len(MODULES)
    assert "Traceback" not in morning.logs
    assert "did not finish in time" not in morning.logs


def test_drivers_share_the_analyzers(morning: Morning) -> None:
    names = [name for name in morning.actors_at_first if not name.startswith("supervisor/")]
    assert {name.split("/")[0] for name in names} == {*MODULES, "technical", "sentiment"}
    assert len(names) == 7


def test_stopped_drivers_leave_no_actor_and_no_status(morning: Morning) -> None:
    assert morning.actors_after == {}
    assert morning.statuses_after == []


def test_graceful_restarts_double_no_result_and_no_alert_in_the_topics(morning: Morning) -> None:
    results, alerts = morning.results_after_graceful, morning.alerts_after_graceful
    assert len(results) > 500
    assert len(set(results)) == len(results)
    assert len(set(alerts)) == len(alerts)


def test_every_bar_is_stored_once_with_its_values(morning: Morning) -> None:
    store = BarStore(morning.trial.database())
    day = morning.sample.first_day
    expected: dict[str, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for bar in morning.bars:
        values = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        expected[bar.symbol][int(bar.time.timestamp() * 1000)] = values
    assert sum(map(len, expected.values())) == len(morning.bars) > 1_000
    assert store.count_between("1m", day, day) == len(morning.bars)
    for symbol, bars in expected.items():
        rows = store.between(symbol, "1m", day, day)
        assert len(rows) == len(bars)
        assert {row[0]: tuple(row[1:6]) for row in rows} == bars


def test_every_bar_has_exactly_one_result_id(morning: Morning) -> None:
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for result in morning.trial.results(kind="technical"):
        ids[result.symbol, result.results.details["bar_time"]].add(result.result_id)
    assert ids.keys() == {(bar.symbol, bar.time.isoformat()) for bar in morning.bars}
    assert {len(of_bar) for of_bar in ids.values()} == {1}


def test_results_do_not_depend_on_the_restarts(morning: Morning) -> None:
    """Where a bar was analysed twice, both say the same."""
    said: dict[str, set[bytes]] = defaultdict(set)
    for result in morning.trial.results(kind="technical"):
        said[result.result_id].add(msgspec.json.encode(result.results))
    assert {result_id for result_id, bodies in said.items() if len(bodies) > 1} == set()


def test_every_article_is_stored_and_analysed(morning: Morning) -> None:
    sent = {item.news_id for item in morning.articles}
    assert len(sent) >= 10
    assert NewsStore(morning.trial.database()).ids_since(0) == sent
    analysed = {
        result.results.details["articles"][0]["news_id"]
        for result in morning.trial.results(kind="sentiment")
        if result.results.details["articles"]
    }
    assert analysed == sent


def test_alerts_are_those_of_one_process_that_was_never_disturbed(morning: Morning) -> None:
    """Whatever came first of prices and news, and whoever was away meanwhile."""
    expected = expected_alerts(morning.trial.settings, morning.trial.results())
    assert expected
    assert set(morning.alert_ids()) == expected.keys()
    scores = {a.alert_id: a.data.final_score for a in AlertStore(morning.trial.database()).recent(0, 10_000)}
    assert scores == {alert_id: alert.data.final_score for alert_id, alert in expected.items()}


def test_alerts_in_the_topic_are_those_in_the_store_and_in_the_file(morning: Morning) -> None:
    in_the_topic = set(morning.alert_ids())
    in_the_store = {alert.alert_id for alert in AlertStore(morning.trial.database()).recent(0, 10_000)}
    in_the_file = [
        msgspec.json.decode(line, type=Alert).alert_id
        for line in morning.trial.alert_file.read_bytes().splitlines()
    ]
    assert in_the_topic
    assert in_the_topic == in_the_store
    assert sorted(in_the_file) == sorted(in_the_topic)


def test_nothing_is_left_to_read_and_nothing_was_refused(morning: Morning) -> None:
    assert morning.drained
    assert {topic: len(morning.trial.dead_letters(topic)) for topic in CONSUMED} == dict.fromkeys(CONSUMED, 0)
