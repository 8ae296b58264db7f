"""`vnpulse topics`."""

from __future__ import annotations

import json

from tests.integration.trial import Trial
from vnpulse.topics import load_topics


def test_topics_are_compared_made_and_described(trial: Trial) -> None:
    lacking = trial.vnpulse("topics", "diff")
    assert lacking.returncode == 1
    assert lacking.stdout.count(": create: ") == len(load_topics())
    assert f"{trial.topic('stock_prices_raw')}: create: 10 partitions, replication 1" in lacking.stdout

    made = trial.vnpulse("topics", "apply")
    assert (made.returncode, made.stdout.splitlines()[-1]) == (0, f"{len(load_topics())} changes applied")
    assert "replication capped to 1 for 10 topics" in made.stderr

    again = trial.vnpulse("topics", "apply")
    assert (again.returncode, again.stdout) == (0, "nothing to change\n")
    same = trial.vnpulse("topics", "diff")
    assert (same.returncode, same.stdout) == (0, "no differences\n")

    described = trial.vnpulse("topics", "describe", "--json")
    states = json.loads(described.stdout)
    assert {name: state["partitions"] for name, state in states.items()} == {
        trial.topic(name): spec.partitions for name, spec in load_topics().items()
    }
    table = trial.vnpulse("topics", "describe").stdout
    assert all(trial.topic(name) in table for name in load_topics())
    assert "missing" not in table


def test_differences_can_be_read_by_programs(trial: Trial) -> None:
    trial.make_topic("alerts", 1)
    done = trial.vnpulse("topics", "diff", "--json")
    assert done.returncode == 1
    changes = json.loads(done.stdout)
    mine = [c for c in changes if c["topic"] == trial.topic("alerts")]
    assert {c["kind"] for c in mine} == {"partitions", "config"}
    assert all(c["possible"] for c in mine)
