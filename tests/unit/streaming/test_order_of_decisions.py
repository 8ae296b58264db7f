"""Alerts do not depend on which analysis was faster, on when the process died, or on how it was read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.streaming.world import OPENING, World, aggregator
from vnpulse.aggregation.aggregator import Aggregator, SymbolState
from vnpulse.aggregation.order import Passage, Place, place_of
from vnpulse.messages import (
    Alert,
    AlertData,
    AnalysisResult,
    AnalysisType,
    RecordRef,
    ResultBody,
    ResultMetadata,
    encode,
)

SYMBOLS = ("FPT", "HPG", "VCB")
Step = tuple[AnalysisType, str]
"""Which analysis is done with its next record of which symbol."""

ALL: list[Step] = [(kind, symbol) for kind in ("technical", "sentiment") for symbol in SYMBOLS]


def raw(number: int, kind: AnalysisType, symbol: str, score: float) -> AnalysisResult:
    """Return the result of the raw record that was appended as the ``number``-th."""
    details: dict[str, Any] = {"close": 25.0, "daily": {"close": 25.0, "atr_14": 0.5}}
    if kind == "sentiment":
        details = {"articles": [{"news_id": f"n{number}", "title": "tin"}]}
    topic = {"technical": "stock_prices_raw", "sentiment": "stock_news_raw"}[kind]
    # Two records share a millisecond, and partitions have nothing to do with the order.
    source = RecordRef(topic, len(symbol) + number % 2, number, 1_000 + number // 2)
    return AnalysisResult(
        f"{kind[0]}{number}",
        symbol,
        kind,
        OPENING + dt.timedelta(minutes=number),
        ResultBody(score, 0.9, details),
        ResultMetadata("v1", 0.1, source),
    )


def place(result: AnalysisResult) -> Place:
    return place_of(result, RecordRef("analysis_results", 2, 0))


@dataclass
class Lanes(Passage):
    """Raw records of both kinds, and how far each analysis is with them."""

    records: Sequence[AnalysisResult]
    log: list[bytes | None] = field(default_factory=list)
    """The results, in the order in which they were appended."""
    places: dict[str, int] = field(default_factory=dict)
    """By result id, its offset in the log."""
    now_ms: int = 0
    """When the newest raw record that anything shows of was appended."""
    asked: set[str] = field(default_factory=set)
    missing = "an analysis is behind"

    def advance(self, step: Step) -> bool:
        """Append the next result of one analysis; the raw records up to it were appended before.

        The results of one symbol come in their order, those of several come as they like.
        """
        for record in self.records:
            if (record.analysis_type, record.symbol) == step and record.result_id not in self.places:
                # Nothing is analysed and read within the millisecond in which it was appended.
                moment = record.metadata.source.timestamp  # type: ignore[union-attr]
                self.now_ms = max(self.now_ms, moment)
                self.places[record.result_id] = len(self.log)
                self.log.append(encode(record))
                return True
        return False

    def begin(self, kinds: Collection[AnalysisType]) -> None:
        self.asked = {
            r.result_id
            for r in self.records
            if r.analysis_type in kinds and place(r).append_ms <= self.now_ms
        }

    def done(self, positions: Mapping[int, int]) -> bool:
        return all(self.places.get(result_id, 1_000_000) < positions[2] for result_id in self.asked)


class TwoLanes(World):
    """A world in which results come while they are read."""

    def __init__(self, lanes: Lanes, steps: list[Step], at_once: int, **more: Any) -> None:
        super().__init__(lanes.log, transactional=True, **more)
        self.lanes = lanes
        self.steps = steps
        self.at_once = at_once
        self.idle = 0

    def passage(self) -> Passage:
        return self.lanes

    def end(self) -> bool:
        for _ in range(self.at_once):
            if self.steps:
                self.lanes.advance(self.steps.pop(0))
            else:
                any(self.lanes.advance(step) for step in ALL)
        self.clock.advance(self.at_once * 10)
        done = len(self.lanes.places) == len(self.lanes.records)
        return done and self.committed.get(2, 0) == len(self.values)


def expected(records: Sequence[AnalysisResult]) -> list[str]:
    """Return the ids of the alerts of one process for which analysis takes no time."""
    over = aggregator()
    states: dict[str, SymbolState] = {}
    ids = []
    for record in sorted(records, key=place):
        state = states.setdefault(record.symbol, SymbolState())
        ids += [alert.alert_id for alert in over.step(state, record, RecordRef("r", 0, 0))]
    return ids


RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["technical", "technical", "technical", "sentiment"]),
        st.sampled_from(SYMBOLS),
        st.sampled_from([-0.9, -0.6, 0.0, 0.6, 0.9]),
    ),
    min_size=1,
    max_size=40,
).map(lambda parts: [raw(number, *part) for number, part in enumerate(parts)])  # type: ignore[arg-type]
STEPS = st.lists(st.sampled_from(ALL), max_size=80)
LIVES = st.lists(st.integers(0, 6), max_size=4)
FAILURES = st.fixed_dictionaries(
    {kind: st.sets(st.integers(0, 40), max_size=4) for kind in ("poll", "write", "load", "flush")}
)


def lived(world: TwoLanes, lives: list[int]) -> None:
    """Let the process die after so many commits each time, and at last end in peace."""
    for commits in lives:
        world.live(crash_after_commits=commits, may_survive=True)
        world.clock.advance(3_000)
    world.live()


@settings(max_examples=60, deadline=None)
@given(RECORDS, STEPS, st.integers(1, 5), st.integers(1, 9), LIVES, FAILURES)
def test_alerts_do_not_depend_on_which_analysis_was_faster_or_when_the_process_died(
    records: list[AnalysisResult],
    steps: list[Step],
    at_once: int,
    per_poll: int,
    lives: list[int],
    failures: Mapping[str, set[int]],
) -> None:
    world = TwoLanes(Lanes(records), steps, at_once, per_poll=per_poll, failures=failures)
    lived(world, lives)
    ids = [alert.alert_id for alert in world.outputs.alerts()]
    assert sorted(ids) == sorted(expected(records))
    assert not [a for a in world.outputs.alerts() if "late" in a.data.explanation]


class Chaining(Aggregator):
    """Makes an alert of every result, which names all that were decided before it."""

    def __init__(self) -> None:
        pass

    def step(self, state: SymbolState, result: AnalysisResult, record: RecordRef) -> list[Alert]:
        if not state.takes(result):
            return []
        before = state.taken.get("technical", [])
        state.taken["technical"] = [*before, result.result_id]
        state.latest[result.analysis_type] = result
        data = AlertData(0.0, "HOLD", None, {"before": before})
        return [Alert(result.result_id, result.symbol, "buy_signal", "low", result.timestamp, "", data)]


class Patient(TwoLanes):
    """A world that tells in which order everything was decided."""

    def aggregator(self) -> Aggregator:
        return Chaining()


class Impatient(Patient):
    """One in which the wait for the slower analysis may end."""

    wait_ms = 60


def check_everything_was_decided_once(world: TwoLanes) -> None:
    for symbol in SYMBOLS:
        of_symbol = [alert for alert in world.outputs.alerts() if alert.symbol == symbol]
        ids = [alert.alert_id for alert in of_symbol]
        assert [a.data.explanation["before"] for a in of_symbol] == [ids[:n] for n in range(len(ids))]
        assert sorted(ids) == sorted(r.result_id for r in world.lanes.records if r.symbol == symbol)


@settings(max_examples=60, deadline=None)
@given(RECORDS, STEPS, st.integers(1, 5), st.integers(1, 9), LIVES, FAILURES)
def test_when_the_wait_ends_everything_is_decided_once_all_the_same(
    records: list[AnalysisResult],
    steps: list[Step],
    at_once: int,
    per_poll: int,
    lives: list[int],
    failures: Mapping[str, set[int]],
) -> None:
    world = Impatient(Lanes(records), steps, at_once, per_poll=per_poll, failures=failures)
    lived(world, lives)
    check_everything_was_decided_once(world)


@pytest.mark.parametrize("commits", range(3))
def test_dying_again_while_it_catches_up_makes_nothing_forgotten(commits: int) -> None:
    """The last bar of FPT waits when a later result is decided: what is committed is not all that is done."""
    parts: list[tuple[int, AnalysisType, str]] = [
        (0, "technical", "FPT"), (2, "sentiment", "VCB"), (4, "technical", "HPG"),
        (6, "technical", "FPT"), (20, "technical", "FPT"),
    ]  # fmt: skip
    fpt, hpg = ("technical", "FPT"), ("technical", "HPG")
    vcb, none = ("sentiment", "VCB"), ("sentiment", "FPT")
    records = [raw(number, kind, symbol, 0.9) for number, kind, symbol in parts]
    world = Patient(Lanes(records), [fpt, none, vcb, fpt, fpt, hpg], 2, per_poll=2)
    world.live(crash_after_commits=commits)
    world.per_poll = 1
    world.live(crash_after_commits=0)
    world.live()
    check_everything_was_decided_once(world)


@pytest.fixture
def bad_news_behind() -> Impatient:
    """An article before a bar, whose analysis takes longer than anybody waits."""
    records = [raw(0, "sentiment", "FPT", -0.9), *(raw(n, "technical", "FPT", 0.1) for n in range(2, 12))]
    return Impatient(Lanes(records), [("technical", "FPT")] * 10, 1)


@pytest.mark.parametrize("commits", range(11))
def test_what_was_decided_out_of_order_is_not_put_in_order_by_a_restart(
    bad_news_behind: Impatient, commits: int
) -> None:
    bad_news_behind.wait_ms = 0
    bad_news_behind.steps = [("technical", "FPT")] * 6 + [("sentiment", "FPT")]
    bad_news_behind.live(crash_after_commits=commits)
    bad_news_behind.live()
    check_everything_was_decided_once(bad_news_behind)


def test_what_was_decided_without_the_news_says_so(bad_news_behind: Impatient) -> None:
    bad_news_behind.live()
    alerts = bad_news_behind.outputs.alerts()
    assert [alert.alert_id for alert in alerts][-1] == "s0"
    without = [a for a in alerts if a.data.explanation.get("sentiment") == "not known"]
    assert without
    assert all(a.message.endswith("sentiment not known: its analysis is behind") for a in without)
    assert "late" in alerts[-1].data.explanation


def test_nothing_waits_once_an_analysis_was_given_up(bad_news_behind: Impatient) -> None:
    bad_news_behind.live()
    ids = [alert.alert_id for alert in bad_news_behind.outputs.alerts()]
    assert ids == [f"t{n}" for n in range(2, 12)] + ["s0"]
