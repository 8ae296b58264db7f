"""A deployment that outlives its driver: killed, upgraded, scaled and stopped while bars flow."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.pipelines.flow import flowing
from tests.integration.pipelines.outcome import assert_all_there_once
from tests.integration.trial import Driver, Trial
from tests.integration.waiting import eventually
from vnpulse.topics import TRIGGERS

SUPERVISOR = "supervisor/run"


@pytest.fixture(scope="module")
def supervised(make_trial: Callable[[], Trial]) -> Trial:
    trial = make_trial()
    trial.apply_topics()
    trial.run_pipelines("run")
    return trial


def newest(trial: Trial) -> Driver:
    return trial.drivers[-1]


def submit(trial: Trial) -> Driver:
    (driver,) = trial.run_pipelines("run")
    return driver


def workers(trial: Trial) -> dict[str, int]:
    return {name: pid for name, pid in trial.actors().items() if name != SUPERVISOR}


def status(trial: Trial) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(trial.vnpulse("status", "--json").stdout)
    return rows


def test_a_killed_driver_costs_nothing_and_the_next_one_finds_everything_running(supervised: Trial) -> None:
    before = supervised.actors()
    with flowing(supervised, ["SA0", "SA1"]) as sent:
        newest(supervised).kill()
        assert supervised.actors() == before
        second = submit(supervised)
    assert_all_there_once(supervised, sent)
    assert supervised.actors() == before
    assert "runs this version already" in second.log()


def test_a_killed_supervisor_comes_back_and_finds_everything_running(supervised: Trial) -> None:
    before = supervised.actors()
    with flowing(supervised, ["SB0", "SB1"]) as sent:
        os.kill(before[SUPERVISOR], signal.SIGKILL)
        assert eventually(lambda: supervised.actors().get(SUPERVISOR) not in (None, before[SUPERVISOR]))
    assert_all_there_once(supervised, sent)
    assert workers(supervised) == {name: pid for name, pid in before.items() if name != SUPERVISOR}
    # It supervises again: what dies now is replaced.
    supervised.kill_actor("technical/0")
    assert newest(supervised).process.alive


def test_another_version_takes_over_actor_by_actor_and_loses_nothing(supervised: Trial) -> None:
    before, first = supervised.actors(), newest(supervised)
    supervised.write_config(technical={"late_bars": 32})
    with flowing(supervised, ["SC0", "SC1"]) as sent:
        second = submit(supervised)
        after = supervised.actors()
    assert_all_there_once(supervised, sent)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert first.process.wait(30) == 0
    assert "another driver has taken over" in first.log()
    assert "kernels are compiled on 1 of 1 nodes" in second.log()
    assert second.process.alive


def test_scaling_moves_partitions_without_a_gap(supervised: Trial) -> None:
    topic = supervised.topic(TRIGGERS)
    untouched = {n: p for n, p in workers(supervised).items() if not n.startswith("analysis/")}
    with flowing(supervised, ["SD0", "SD1"]) as sent:
        scaled = supervised.vnpulse("scale", "analysis=4")
        assert scaled.returncode == 0
        assert "has 3 partitions, so 3 actors" in scaled.stderr
        wanted = {f"analysis/{topic}/{partition}" for partition in range(3)}
        assert eventually(lambda: {n for n in workers(supervised) if n.startswith("analysis/")} == wanted)
    assert_all_there_once(supervised, sent)
    assert {n: p for n, p in workers(supervised).items() if not n.startswith("analysis/")} == untouched
    assert eventually(lambda: {row["state"] for row in status(supervised)} == {"running"})


def test_status_says_where_everything_is(supervised: Trial) -> None:
    assert supervised.vnpulse("status").returncode == 0
    rows = {row["actor"]: row for row in status(supervised)}
    assert rows.keys() == supervised.actors().keys()
    consumer = rows[f"analysis/{supervised.topic(TRIGGERS)}/0"]
    assert consumer["partitions"] == [0]
    assert consumer["lag"] == 0
    assert consumer["node"] == "127.0.0.1"
    assert consumer["pid"] == supervised.actors()[consumer["actor"]]
    assert {row["version"] for name, row in rows.items() if name != SUPERVISOR} == {consumer["version"]}


@pytest.mark.parametrize("arguments", [("analysis",), ("analysis=0",), ("analysis=x",), ("alerts=2",)])
def test_a_scale_that_cannot_be_is_one_line(supervised: Trial, arguments: tuple[str, ...]) -> None:
    said = supervised.vnpulse("scale", *arguments)
    assert said.returncode == 2
    assert len(said.stderr.splitlines()) == 1


def test_an_actor_is_restarted_on_demand(supervised: Trial) -> None:
    before = workers(supervised)
    unknown = supervised.vnpulse("restart", "technical/9")
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    assert supervised.vnpulse("restart", "technical/0").returncode == 0
    assert eventually(lambda: workers(supervised).get("technical/0") not in (None, before["technical/0"]))


def test_stop_ends_everything_and_the_driver_says_so(supervised: Trial) -> None:
    driver = newest(supervised)
    stopped = supervised.vnpulse("stop")
    assert (stopped.returncode, stopped.stdout.strip()) == (0, "stopped")
    assert driver.process.wait(30) == 0
    assert eventually(lambda: not supervised.actors())
    assert supervised.vnpulse("status").returncode == 1
    assert supervised.vnpulse("stop").stdout.strip() == "nothing runs"
