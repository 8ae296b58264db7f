"""Following what is in the raw topics through the hops, by offsets alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from vnpulse.clock import ManualClock
from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.passage import RETRY_MS, KafkaPassage
from vnpulse.kafka.progress import Committed
from vnpulse.kafka.settings import KafkaSettings

PRICES, NEWS, TRIGGERS, RESULTS = (
    "p.stock_prices_raw",
    "p.stock_news_raw",
    "p.analysis_triggers",
    "p.analysis_results",
)
STORAGE, ANALYSIS = "p.storage-consumers", "p.analysis-consumers"


@dataclass
class Broker:
    """Two partitions a topic; what is not set is empty or was never committed."""

    end: dict[tuple[str, int], int] = field(default_factory=dict)
    commits: dict[tuple[str, str, int], Committed] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    def ends(self, topic: str) -> dict[int, int]:
        self._answer()
        return {partition: self.end.get((topic, partition), 0) for partition in (0, 1)}

    def committed(self, group: str, topic: str) -> dict[int, Committed]:
        self._answer()
        return {p: found for (g, t, p), found in self.commits.items() if (g, t) == (group, topic)}

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise BrokerUnavailable("away")

    def lanes(self, partition: int, technical: int, sentiment: int) -> None:
        note = f'{{"technical":{technical},"sentiment":{sentiment}}}'
        self.commits[ANALYSIS, TRIGGERS, partition] = Committed(min(technical, sentiment), note)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0)


@pytest.fixture
def passage(broker: Broker, clock: ManualClock) -> KafkaPassage:
    return KafkaPassage(KafkaSettings(topic_prefix="p."), broker, clock)


def test_what_is_empty_has_come_through(passage: KafkaPassage) -> None:
    passage.begin(["sentiment", "technical"])
    assert passage.done({0: 0, 1: 0})


def test_every_hop_is_waited_for_in_turn(passage: KafkaPassage, broker: Broker) -> None:
    broker.end = {(NEWS, 1): 5, (TRIGGERS, 0): 7, (RESULTS, 1): 9}
    passage.begin(["sentiment"])
    assert not passage.done({0: 0, 1: 0})
    assert passage.missing == f"{STORAGE} has not done with partition 1 of {NEWS}"
    broker.commits[STORAGE, NEWS, 1] = Committed(4)
    assert not passage.done({0: 0, 1: 0})
    broker.commits[STORAGE, NEWS, 1] = Committed(5)
    assert not passage.done({0: 0, 1: 0})
    assert passage.missing == f"{ANALYSIS} has not done with partition 0 of {TRIGGERS} for sentiment"
    broker.lanes(0, technical=3, sentiment=7)
    assert not passage.done({0: 0, 1: 8})
    assert passage.missing == "results are not readable yet"
    assert passage.done({0: 0, 1: 9})


def test_what_comes_later_is_not_waited_for(passage: KafkaPassage, broker: Broker) -> None:
    broker.end = {(NEWS, 0): 5}
    passage.begin(["sentiment"])
    assert not passage.done({0: 0})
    broker.end[NEWS, 0] = 50
    broker.commits[STORAGE, NEWS, 0] = Committed(5)
    assert passage.done({0: 0})


def test_an_analysis_that_was_not_asked_about_holds_up_nothing(passage: KafkaPassage, broker: Broker) -> None:
    broker.end = {(PRICES, 0): 5, (TRIGGERS, 0): 7}
    broker.lanes(0, technical=0, sentiment=7)
    passage.begin(["sentiment"])
    assert passage.done({})
    passage.begin(["technical"])
    assert not passage.done({})


def test_an_offset_that_was_set_by_hand_counts_for_both_lanes(passage: KafkaPassage, broker: Broker) -> None:
    broker.end = {(TRIGGERS, 0): 7}
    broker.commits[ANALYSIS, TRIGGERS, 0] = Committed(7, "")
    passage.begin(["sentiment"])
    assert passage.done({})


def test_partitions_that_others_read_are_not_waited_for(passage: KafkaPassage, broker: Broker) -> None:
    broker.end = {(RESULTS, 0): 9, (RESULTS, 1): 9}
    passage.begin(["sentiment"])
    assert passage.done({1: 9})


def test_a_broker_that_does_not_answer_has_not_said_yes(
    passage: KafkaPassage, broker: Broker, clock: ManualClock
) -> None:
    broker.away = True
    passage.begin(["sentiment"])
    assert not passage.done({})
    assert passage.missing == "it is not known how far the analyses are: away"
    broker.away = False
    asked = broker.asked
    assert not passage.done({})
    assert broker.asked == asked, "a moment's rest"
    clock.advance(RETRY_MS)
    assert passage.done({})
