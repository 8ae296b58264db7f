"""Two loops of one group on the same partitions: a slow one holds the other back in nothing."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.analysis import AnalysisRequest
from vnpulse.clock import SystemClock
from vnpulse.errors import AnalyzerUnavailable
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.passage import BrokerOffsets, KafkaPassage
from vnpulse.kafka.progress import Lanes
from vnpulse.kafka.transactions import TransactionalOutputs
from vnpulse.messages import VIETNAM, AnalysisTrigger, AnalysisType, TriggerMetadata, encode
from vnpulse.streaming.analysis import TriggerHandler
from vnpulse.streaming.analyzer_pool import EncodedResult
from vnpulse.streaming.loop import PartitionLoop
from vnpulse.topics import ANALYSIS_GROUP, NEWS, PRICES, RESULTS, TRIGGERS, dead_letter_topic

KINDS: tuple[AnalysisType, ...] = ("technical", "sentiment")
AT = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)


class Analyzer:
    """Answers with its name and the symbol, when it is let."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.free = threading.Event()
        self.asked = 0
        self.away = False

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        self.asked += len(requests)
        self.free.wait()
        if self.away:
            raise AnalyzerUnavailable(self._kind)
        return [EncodedResult(r.symbol, f"{self._kind} {r.symbol}".encode()) for r in requests]


@pytest.fixture
def analyzers() -> Iterator[dict[AnalysisType, Analyzer]]:
    made: dict[AnalysisType, Analyzer] = {kind: Analyzer(kind) for kind in KINDS}
    yield made
    for analyzer in made.values():
        analyzer.free.set()


@contextmanager
def consuming(trial: Trial, analyzers: dict[AnalysisType, Analyzer]) -> Iterator[None]:
    """Run both lanes as an analysis actor does."""
    kafka, lanes, topic = trial.settings.kafka, Lanes(KINDS), trial.topic(TRIGGERS)
    group = kafka.group(ANALYSIS_GROUP)
    loops, threads = [], []
    for kind in KINDS:
        lane = lanes.lane(kind)
        outputs = TransactionalOutputs(kafka, topic, (0,), group, kind, "snappy", lane)
        handler = TriggerHandler(
            kind,
            analyzers[kind],
            outputs,
            DeadLetters(outputs, "test"),
            trial.topic(RESULTS),
            keeps_bad=kind == "technical",
        )
        loop = PartitionLoop(
            lambda lane=lane: AssignedConsumer(kafka, topic, (0,), group, "test", progress=lane),
            handler,
            outputs,
        )
        loops.append(loop)
        threads.append(threading.Thread(target=loop.run))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        for analyzer in analyzers.values():
            analyzer.free.set()
        for thread in threads:
            thread.join()


def values(trial: Trial) -> list[str]:
    return sorted((record.value or b"").decode() for record in trial.records(RESULTS))


def lag(trial: Trial) -> int:
    with KafkaAdmin(trial.settings.kafka) as admin:
        (row,) = admin.lag(trial.settings.kafka.group(ANALYSIS_GROUP), [trial.topic(TRIGGERS)])
    return row.lag


def has_passed(trial: Trial, kind: AnalysisType) -> bool:
    """Say whether all that was in the raw topics (nothing) and the triggers of it have come through."""
    offsets = BrokerOffsets(trial.settings.kafka, "test")
    passage = KafkaPassage(trial.settings.kafka, offsets, SystemClock())
    passage.begin([kind])
    try:
        return passage.done({})
    finally:
        offsets.close()


def trigger(symbol: str, kind: str) -> tuple[str, bytes]:
    return symbol, encode(AnalysisTrigger("t", symbol, kind, AT, TriggerMetadata()))  # type: ignore[arg-type]


def test_prices_do_not_wait_for_slow_sentiment_and_nothing_is_done_twice_after_a_restart(
    trial: Trial, analyzers: dict[AnalysisType, Analyzer]
) -> None:
    for name in (PRICES, NEWS, TRIGGERS, RESULTS, dead_letter_topic(TRIGGERS)):
        trial.make_topic(name)
    analyzers["technical"].free.set()
    with consuming(trial, analyzers):
        trial.publish(
            TRIGGERS, [trigger("NEWS", "news_update"), ("X", b"nonsense"), trigger("AAA", "price_update")]
        )
        assert eventually(lambda: analyzers["sentiment"].asked == 1)
        assert eventually(lambda: values(trial) == ["technical AAA"])
        trial.publish(TRIGGERS, [trigger("BBB", "scheduled")])
        assert eventually(lambda: values(trial) == ["technical AAA", "technical BBB"])
        assert lag(trial) == 4, "the slower one's"
        assert eventually(lambda: has_passed(trial, "technical"))
        assert not has_passed(trial, "sentiment"), "as who fuses both is told"
        # It is stopped without an answer: what it was asked about comes again, and prices do not.
        analyzers["sentiment"].away = True
    fresh: dict[AnalysisType, Analyzer] = {kind: Analyzer(kind) for kind in KINDS}
    for analyzer in fresh.values():
        analyzer.free.set()
    with consuming(trial, fresh):
        assert eventually(lambda: lag(trial) == 0)
    everything = ["sentiment BBB", "sentiment NEWS", "technical AAA", "technical BBB"]
    assert values(trial) == everything
    assert eventually(lambda: has_passed(trial, "sentiment"))
    assert fresh["technical"].asked == 0
    assert len(trial.dead_letters(TRIGGERS)) == 1
