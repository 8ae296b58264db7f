"""What an analyzer actor promises whoever feeds, asks and supervises it; without Ray, on threads."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from actors import analyzers
from actors.analyzers import AnalyzerActor, Shard
from tests.unit.pipelines.test_wiring import settings
from vnpulse.analysis import AnalysisRequest
from vnpulse.errors import AnalyzerUnavailable, StoreUnavailable
from vnpulse.messages import VIETNAM, AnalysisResult, ResultBody, ResultMetadata

BATCH: Any = SimpleNamespace(topic="stock_prices_raw", partition=0)
REQUESTS = [AnalysisRequest(f"S{i}", "r") for i in range(10)]
AT = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)


class Noting:
    """Answers each request with one result; ``meanwhile`` runs within each call."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def start(self) -> None: ...

    def update(self, batch: int) -> int:
        self.calls.append(batch)
        return batch

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        self.calls.append([request.symbol for request in requests])
        self.meanwhile()
        return [
            AnalysisResult(
                r.symbol, r.symbol, "technical", AT, ResultBody(0, 0, {}), ResultMetadata("m", 0.0)
            )
            for r in requests
        ]

    def symbols(self) -> int:
        return 0

    def counters(self) -> dict[str, int]:
        return {}


class Actor(AnalyzerActor):
    SLICE = 4

    def __init__(self) -> None:
        super().__init__(settings(), Shard("technical", 0, 10))
        self.noting = Noting()

    def _make(self) -> Any:
        return self.noting


@pytest.fixture
def actor() -> Actor:
    actor = Actor()
    actor.start()
    actor.prepare(1, 1)  # returns when it is warm
    return actor


def test_it_answers_nobody_before_it_is_warm() -> None:
    actor = Actor()
    assert not actor.health()["alive"]
    with pytest.raises(AnalyzerUnavailable, match="technical/0 is warming up"):
        actor.analyze(REQUESTS)
    with pytest.raises(AnalyzerUnavailable):
        actor.update([])


def test_the_rest_is_loaded_after_it_answers_and_whoever_prepares_it_waits() -> None:
    left, asked = [3], threading.Event()

    class Loading(Actor):
        def _load_more(self, analyzer: Any) -> bool:
            assert asked.wait(10)
            left[0] -= 1
            if left[0] == 1:
                raise StoreUnavailable("away")
            return left[0] > 0

    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(analyzers, "LOAD_PAUSE_S", 0.0)
    actor = Loading()
    actor.start()
    assert actor.health()["alive"]
    preparing = threading.Thread(target=lambda: actor.prepare(1, 2))
    preparing.start()
    assert actor.health()["warm_up_s"] == 0.0
    asked.set()
    preparing.join(10)
    assert (left[0], preparing.is_alive()) == (0, False)
    assert actor.analyze(REQUESTS).requests == 10
    monkeypatch.undo()


def test_requests_are_analyzed_in_slices_and_answered_in_order(actor: Actor) -> None:
    answer = actor.analyze(REQUESTS)
    assert [len(call) for call in actor.noting.calls] == [4, 4, 2]
    assert [result.symbol for result in answer.results] == [request.symbol for request in REQUESTS]
    assert answer.requests == 10
    assert actor.analyze([]) == ([], 0)


def test_a_slow_analyzer_answers_with_what_it_has(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzers, "ANSWER_WITHIN_S", 0.0)
    answer = actor.analyze(REQUESTS)
    assert ([result.symbol for result in answer.results], answer.requests) == (["S0", "S1", "S2", "S3"], 4)


def test_who_feeds_goes_between_the_slices_of_who_asks(actor: Actor) -> None:
    feeding = threading.Thread(target=lambda: actor.update([BATCH]))

    def feed() -> None:
        if not feeding.ident:
            feeding.start()
            while not actor.health()["waiting"]:
                pass

    actor.noting.meanwhile = feed
    actor.analyze(REQUESTS)
    feeding.join(10)
    assert [call if call is BATCH else len(call) for call in actor.noting.calls] == [4, BATCH, 4, 2]


def test_a_turn_that_does_not_end_is_seen_from_outside(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    actor.noting.meanwhile = lambda: seen.append(actor.health())
    for name in ("SLOW_AFTER_S", "STUCK_AFTER_S"):
        actor.analyze(REQUESTS[:1])
        monkeypatch.setattr(Actor, name, 0.0)
    actor.analyze(REQUESTS[:1])
    assert [(row["alive"], row["error"]) for row in seen] == [
        (True, ""),
        (True, "stuck: one call has taken 0 s"),
        (False, "stuck: one call has taken 0 s"),
    ]
    idle = actor.health()
    assert (idle["turn_s"], idle["waiting"]) == (0.0, 0)


def test_a_turn_that_gets_on_is_not_stuck(actor: Actor) -> None:
    began: list[float] = []

    def work() -> None:
        began.append(actor._turn_since_s)
        actor.progressed()
        began.append(actor._turn_since_s)

    actor.noting.meanwhile = work
    actor.analyze(REQUESTS[:1])
    assert began[1] > began[0]
    assert actor.health()["worked_s"] >= 0
