"""How far results can be decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
import pytest

from vnpulse.aggregation.order import LONGEST_STEP_MS, START, Frontier, Place, place_of
from vnpulse.clock import ManualClock
from vnpulse.messages import AnalysisType, RecordRef

WAIT_MS = 3_000
RECORD = RecordRef("analysis_results", 2, 77, 1_500)


class Passage:
    missing = "news is behind"

    def __init__(self) -> None:
        self.asked: list[set[AnalysisType]] = []
        self.through = True

    def begin(self, kinds: Collection[AnalysisType]) -> None:
        self.asked.append(set(kinds))

    def done(self, positions: Mapping[int, int]) -> bool:
        return self.through


@pytest.fixture
def passage() -> Passage:
    return Passage()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000)


@pytest.fixture
def frontier(passage: Passage, clock: ManualClock) -> Frontier:
    return Frontier(passage, WAIT_MS, clock)


def bar(append_ms: int, offset: int = 0) -> Place:
    return Place(append_ms, 1, 3, offset)


def article(append_ms: int, offset: int = 0) -> Place:
    return Place(append_ms, 0, 4, offset)


def look(frontier: Frontier, clock: ManualClock, *news: Place, times: int = 1, after_ms: int = 100) -> None:
    for _ in range(times):
        clock.advance(after_ms)
        frontier.look({}, news)


def test_places_are_in_the_order_of_the_log_and_news_comes_first_in_a_millisecond(
    technical: Any, sentiment: Any
) -> None:
    def at(result: Any, *place: int) -> Any:
        source = RecordRef("raw", *place)
        return msgspec.structs.replace(
            result, metadata=msgspec.structs.replace(result.metadata, source=source)
        )

    results = [
        at(technical("a", 0.1), 9, 1, 1_000),
        at(sentiment("b", 0.1), 0, 9, 1_001),
        at(technical("c", 0.1), 0, 5, 1_001),
        at(technical("d", 0.1), 0, 6, 1_001),
    ]
    assert sorted(results, key=lambda r: place_of(r, RECORD)) == results


@pytest.mark.parametrize("source", [None, RecordRef("raw", 0, 5)])
def test_a_result_of_no_record_or_one_without_a_time_has_the_place_of_its_own(
    technical: Any, source: Any
) -> None:
    result = technical("a", 0.1)
    metadata = msgspec.structs.replace(result.metadata, source=source)
    place = place_of(msgspec.structs.replace(result, metadata=metadata), RECORD)
    assert place == Place(1_500, 2, 2, 77)


def test_what_was_read_before_the_question_can_be_decided_after_the_answer(
    frontier: Frontier, passage: Passage, clock: ManualClock
) -> None:
    frontier.read([bar(10), bar(20)])
    passage.through = False
    look(frontier, clock)
    frontier.read([bar(30)])
    passage.through = True
    look(frontier, clock)
    assert bar(20) < frontier.bound <= bar(30)
    assert passage.asked == [{"sentiment"}]


def test_nobody_is_asked_while_everything_is_decided(
    frontier: Frontier, passage: Passage, clock: ManualClock
) -> None:
    look(frontier, clock, times=3)
    frontier.read([bar(10)])
    look(frontier, clock, times=5)
    assert len(passage.asked) == 1


def test_an_article_waits_for_the_bars_before_it(
    frontier: Frontier, passage: Passage, clock: ManualClock
) -> None:
    frontier.read([article(10)])
    look(frontier, clock, article(10))
    assert passage.asked == [{"technical", "sentiment"}]
    assert frontier.bound > article(10)


def test_an_article_that_comes_while_bars_wait_for_news_waits_for_the_next_answer(
    frontier: Frontier, passage: Passage, clock: ManualClock
) -> None:
    frontier.read([bar(20)])
    passage.through = False
    look(frontier, clock)
    frontier.read([article(10)])
    passage.through = True
    look(frontier, clock, article(10))
    assert frontier.bound == article(10), "bars before it are not known to be here"
    look(frontier, clock, article(10))
    assert frontier.bound > bar(20)
    assert passage.asked == [{"sentiment"}, {"technical", "sentiment"}]


def test_when_the_wait_is_over_everything_is_decided_at_once_until_the_analysis_has_caught_up(
    frontier: Frontier, passage: Passage, clock: ManualClock, caplog: Any
) -> None:
    passage.through = False
    frontier.read([bar(10)])
    look(frontier, clock, times=WAIT_MS // 100)
    assert frontier.bound == START
    look(frontier, clock)
    assert frontier.gave_up
    assert frontier.bound > bar(10)
    assert frontier.proved == START, "decided, but not for certain"
    frontier.read([bar(20)])
    look(frontier, clock)
    assert frontier.bound > bar(20)
    passage.through = True
    look(frontier, clock, times=2)
    assert not frontier.gave_up
    assert frontier.proved > bar(20)
    frontier.read([bar(30)])
    passage.through = False
    look(frontier, clock)
    assert frontier.bound <= bar(30), "it is waited for again"
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "after 3 s news is behind; alerts go out without what is missing" in caplog.text


def test_time_in_which_nobody_looked_does_not_count_as_waiting(
    frontier: Frontier, passage: Passage, clock: ManualClock
) -> None:
    passage.through = False
    frontier.read([bar(10)])
    look(frontier, clock)
    look(frontier, clock, after_ms=60_000)
    assert not frontier.gave_up
    look(frontier, clock, after_ms=60_000, times=WAIT_MS // LONGEST_STEP_MS)
    assert frontier.gave_up


def test_the_bound_never_goes_back(frontier: Frontier, passage: Passage, clock: ManualClock) -> None:
    frontier.read([bar(20)])
    look(frontier, clock)
    reached = frontier.bound
    frontier.read([article(10)])
    look(frontier, clock, article(10), times=3)
    assert frontier.bound == reached
