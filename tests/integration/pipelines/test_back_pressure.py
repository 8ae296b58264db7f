"""An analyzer that is far too slow, and one that is stuck: storing goes on, nothing piles up or is lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.faulty_analyzers import fault_file
from tests.integration.market import bar, keyed
from tests.integration.pipelines.flow import flowing
from tests.integration.pipelines.outcome import assert_all_there_once, await_results, stored
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.analysis import AnalysisRequest
from vnpulse.market import load_market
from vnpulse.messages import OffsetRange, PriceBar
from vnpulse.store.bars import BarStore
from vnpulse.store.control import ControlStore
from vnpulse.store.status import StatusStore
from vnpulse.technical.analyzer import TechnicalAnalyzer
from vnpulse.topics import PRICES, TRIGGERS

ANALYZER = "technical/0"
ANALYZERS = ("sentiment/0", *(f"technical/{n}" for n in range(4)))
SYMBOLS, MINUTES = 20, 50
"""Ten polls of records, and as many of triggers."""


@pytest.fixture(scope="module")
def faulty(make_trial: Callable[[], Trial]) -> Trial:
    trial = make_trial()
    trial.write_config(
        placement={
            "technical": {"autoscale": {"max": 2, "behind_s": 1, "calm_s": 5}, "num_gpus": 0.5},
            "sentiment": {"num_gpus": 0.5},
        }
    )
    trial.apply_topics()
    ControlStore(trial.database()).scale({"technical": 1})
    trial.run_pipelines("tests.faulty_analyzers")
    return trial


@contextmanager
def fault(trial: Trial, what: str) -> Iterator[None]:
    file = fault_file(trial.settings)
    file.write_text(what)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def status(trial: Trial) -> dict[str, dict[str, Any]]:
    """Return what the supervisor last said, by actor; the one of triggers under "analysis"."""
    rows = {row["name"]: row for row in StatusStore(trial.database()).read()}
    return rows | {"analysis": rows[f"analysis/{trial.topic(TRIGGERS)}/0-2"]}


def lag(trial: Trial, group: str) -> int:
    rows = json.loads(trial.vnpulse("lag", "--json").stdout)
    return sum(row["lag"] for row in rows if row["group"] == trial.settings.kafka.group(group))


def coalesced(trial: Trial) -> bool:
    """Whether fewer requests were made than triggers came."""
    counts = status(trial)["analysis"]["counts"]
    return bool(0 < counts["requests"] < counts["triggers"])


def test_a_slow_analyzer_holds_up_nothing_but_analysis(faulty: Trial) -> None:
    symbols = [f"PA{i:02}" for i in range(SYMBOLS)]
    sent = [bar(symbol, number) for number in range(MINUTES) for symbol in symbols]
    with fault(faulty, "hold 0"):
        faulty.publish(PRICES, keyed(sent))
        assert eventually(lambda: lag(faulty, "storage-consumers") == 0)
        assert {len(stored(faulty, symbol)) for symbol in symbols} == {MINUTES}
        assert lag(faulty, "analysis-consumers") > 0
        # Reading is paused; what waits at the analyzer is what those who ask and feed have in hand.
        assert eventually(lambda: status(faulty)["analysis"].get("paused"))
        rows = status(faulty)
        assert rows[ANALYZER]["waiting"] <= 2
        assert {row["status"] for row in rows.values()} == {"running"}
        assert rows["analysis"]["behind_s"]["technical"] > 0
        assert rows["analysis"]["behind_s"]["sentiment"] == 0
        shown = {row["actor"]: row for row in json.loads(faulty.vnpulse("status", "--json").stdout)}
        assert shown[rows["analysis"]["name"]]["lag"] > 0
        assert shown[f"storage/{faulty.topic(PRICES)}/0-9"]["lag"] == 0
    assert_all_there_once(faulty, sent)
    assert len(faulty.results()) == len(sent)
    assert eventually(lambda: status(faulty)["analysis"].get("paused") is False)
    # What the supervisor last heard may be older than the end.
    assert eventually(lambda: coalesced(faulty))
    assert status(faulty)["analysis"]["pauses"] > 0
    assert status(faulty)[ANALYZER]["restarts"] == 0


def test_an_analyzer_that_does_not_come_back_from_a_call_is_replaced(faulty: Trial) -> None:
    before = faulty.actors()[ANALYZER]
    with flowing(faulty, ["PB0", "PB1"]) as sent, fault(faulty, f"hang {before}"):
        assert eventually(lambda: faulty.actors().get(ANALYZER) not in (None, before))
    assert_all_there_once(faulty, sent)
    assert "stuck: one call has taken" in faulty.drivers[-1].log()


def test_an_analyzer_that_answers_nothing_at_all_is_replaced(faulty: Trial) -> None:
    before = faulty.actors()[ANALYZER]
    with flowing(faulty, ["PC0", "PC1"]) as sent:
        os.kill(before, signal.SIGSTOP)
        assert eventually(lambda: faulty.actors().get(ANALYZER) not in (None, before))
    assert_all_there_once(faulty, sent)
    assert f"{ANALYZER} gave no answer to health for 2 s" in faulty.drivers[-1].log()
    assert f"{ANALYZER}: gave no answer to health; it will be replaced" in faulty.drivers[-1].log()


def pool(trial: Trial) -> dict[str, Any]:
    (row,) = (row for row in status(trial)["supervisor/run"]["pools"] if row["pool"] == "technical")
    return row


def are_all(trial: Trial, shards: int) -> bool:
    """Say whether so many shards are called, and no other runs."""
    running = {name for name in trial.actors() if name.startswith("technical/")}
    return running == {f"technical/{n}" for n in range(shards)} and pool(trial)["serving"] == shards


def as_one_analyzer_says(trial: Trial, symbols: list[str]) -> dict[str, Any]:
    """Return the results of one analyzer that starts now and is asked about everything, by id."""
    settings, topic = trial.settings, trial.topic(PRICES)
    analyzer = TechnicalAnalyzer(settings.technical, BarStore(trial.database()), topic, load_market(), {})
    analyzer.start()
    everything = tuple(OffsetRange(topic, partition, 0, 1_000_000) for partition in range(10))
    requests = [AnalysisRequest(symbol, "all", everything) for symbol in symbols]
    return {result.result_id: result.results for result in analyzer.analyze(requests)}


def assert_same_as_of_one_analyzer(trial: Trial, sent: list[PriceBar]) -> None:
    """Each bar has one result, whichever shard gave it, with the id and the numbers of an only analyzer."""
    symbols = sorted({b.symbol for b in sent})
    results = [result for symbol in symbols for result in trial.results(symbol, "technical")]
    assert len(results) == len(sent)
    assert {result.result_id: result.results for result in results} == as_one_analyzer_says(trial, symbols)


def test_a_pool_grows_with_its_backlog_and_shrinks_again(faulty: Trial) -> None:
    symbols = [f"PD{i:02}" for i in range(16)]
    assert pool(faulty)["by_hand"]
    with flowing(faulty, symbols) as sent, fault(faulty, "slow 0.1"):
        assert faulty.vnpulse("scale", "technical=auto").stdout.strip() == "technical=auto"
        assert eventually(lambda: pool(faulty)["serving"] == 2)
    assert_all_there_once(faulty, sent)
    assert_same_as_of_one_analyzer(faulty, sent)
    assert eventually(partial(are_all, faulty, 1))
    with flowing(faulty, symbols) as again:
        pass
    await_results(faulty, again)
    assert faulty.drained()
    log = faulty.drivers[-1].log()
    assert "technical: from 1 to 2 shards: " in log
    assert "technical: from 2 to 1 shards: calm for" in log


def test_shards_set_by_hand_take_over_while_bars_flow(faulty: Trial) -> None:
    symbols = [f"PE{i}" for i in range(8)]
    gpus: dict[int, dict[str, Any]] = {}
    with flowing(faulty, symbols) as sent:
        for shards in (4, 1):
            assert faulty.vnpulse("scale", f"technical={shards}").returncode == 0
            assert eventually(partial(are_all, faulty, shards))
            gpus[shards] = {n: row.get("gpus") for n, row in status(faulty).items() if n in ANALYZERS}
    assert_all_there_once(faulty, sent)
    assert_same_as_of_one_analyzer(faulty, sent)
    # Two logical GPUs: two actors on each, and who finds none any more has a CPU, said once.
    assert sorted(gpu for some in gpus[4].values() for gpu in some) == ["0", "0", "1", "1"]
    assert gpus[4]["technical/3"] == []
    assert faulty.drivers[-1].log().count("on CPUs instead: technical/3") == 1
