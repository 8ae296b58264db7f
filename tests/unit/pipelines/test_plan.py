"""Which actors a supervisor should run, and which of those that run are nobody's."""

from __future__ import annotations

import pytest

from pipelines.plan import PIPELINES, PipelinePlanner, overlapping, plan_for, supervisor_name
from pipelines.wiring import Cluster
from tests.unit.pipelines.test_wiring import PARTITIONS, settings
from vnpulse.topics import PRICES, TRIGGERS


def test_all_pipelines_together_share_nothing() -> None:
    plan = plan_for(PIPELINES, Cluster(settings(), PARTITIONS), [], {}, {})
    assert len(plan.specs) == len({spec.name for spec in plan.specs}) == 7
    assert not any(spec.shared for spec in plan.specs)


def test_a_pipeline_alone_shares_the_analyzers() -> None:
    plan = plan_for(("storage",), Cluster(settings(), PARTITIONS), [], {}, {})
    assert [spec.name for spec in plan.specs if spec.shared] == ["technical/0", "sentiment/0"]


def test_what_ran_with_other_hosts_is_nobody_s() -> None:
    running = [
        f"analysis/{TRIGGERS}/0-2", f"storage/{PRICES}/0-9", "technical/0", "technical/1",
        "supervisor/run", "somebody else's",
    ]  # fmt: skip
    plan = plan_for(PIPELINES, Cluster(settings(analysis={"hosts": 3}), PARTITIONS), running, {}, {})
    assert {spec.name for spec in plan.strays} == {f"analysis/{TRIGGERS}/0-2", "technical/1"}
    by_name = {spec.name: spec for spec in plan.specs}
    (stray,) = (spec for spec in plan.strays if spec.name.startswith("analysis/"))
    assert stray.drain_rank == by_name[f"analysis/{TRIGGERS}/0"].drain_rank


def test_what_other_pipelines_run_is_theirs() -> None:
    running = ["analysis/x/0", "technical/7"]
    assert plan_for(("storage",), Cluster(settings(), PARTITIONS), running, {}, {}).strays == []


@pytest.mark.parametrize(
    ("pipelines", "running", "others"),
    [
        (("storage",), ["supervisor/run"], ["supervisor/run"]),
        (PIPELINES, ["supervisor/storage", "supervisor/run"], ["supervisor/storage"]),
        (("storage",), ["supervisor/storage", "supervisor/analysis"], []),
        (PIPELINES, ["storage/x/0"], []),
    ],
)
def test_nobody_supervises_what_another_does(
    pipelines: tuple[str, ...], running: list[str], others: list[str]
) -> None:
    assert overlapping(pipelines, running) == others


def test_the_supervisor_of_all_is_named_after_the_entry_point() -> None:
    assert supervisor_name(PIPELINES) == "supervisor/run"
    assert supervisor_name(("storage",)) == "supervisor/storage"


def test_analyzers_are_shared_with_who_feeds_or_asks_them() -> None:
    planner = PipelinePlanner(("storage",))
    assert planner.shares_with("supervisor/analysis")
    assert not planner.shares_with("supervisor/aggregation")
