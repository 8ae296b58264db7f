"""A cluster that grows by itself, as in a cloud: one machine here, whose "nodes" are Ray's own pretence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import HOME, SSH, Host
from tests.integration.market import bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, distinct_ids, stored
from tests.integration.trial import BIN, ROOT, StackUnderTest, Trial
from tests.integration.waiting import eventually
from vnpulse.embedded.process import ManagedProcess
from vnpulse.store.status import StatusStore
from vnpulse.topics import PRICES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HEAD_ID = "f" * 51 + "00000"
OBJECTS = 78_643_200
DEADLINE_S = 240.0

CLUSTER = {
    "cluster_name": "growing",
    "provider": {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "head_node_id": HEAD_ID,
        "launch_multiple": True,
    },
    "cluster_synced_files": [],
    "file_mounts": {},
    **{f"{who}setup_commands": [] for who in ("", "head_", "worker_")},
    **{f"{who}_start_ray_commands": [] for who in ("head", "worker")},
    "initialization_commands": [],
    "max_workers": 1,
    "idle_timeout_minutes": 0.1,
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 3}, "node_config": {}, "max_workers": 0},
        "analyzers": {
            "resources": {"CPU": 2, "object_store_memory": OBJECTS},
            "labels": {"ray.io/market-type": "on-demand"},
            "node_config": {},
            "max_workers": 1,
        },
    },
}
"""Room for one analyzer on the head, and for another on the only node that there can be more."""

PLACEMENT = {
    "technical": {
        "num_cpus": 2,
        "node_labels": {"ray.io/market-type": "!spot"},
        "autoscale": {"max": 3, "behind_s": 1, "calm_s": 5},
    }
}


@pytest.fixture(scope="module")
def cloud(hosts: dict[str, Host], folder: Path) -> Iterator[Host]:
    """A machine with a Ray head that starts and ends nodes as its autoscaler wants it."""
    environment = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_SCHEDULER_EVENTS": "0",
        "RAY_worker_niceness": "0",
    }
    host = Host("cloud", 20, folder / "cloud", hosts["head"].key, environment)
    host.boot({host.name: host.address})
    try:
        (host.folder / "home" / "cluster.json").write_text(json.dumps(CLUSTER))
        host.shell(
            f"ray start --head --num-cpus=3 --num-gpus=0 --object-store-memory={OBJECTS}"
            " --autoscaling-config=$HOME/cluster.json --include-dashboard=false --disable-usage-stats"
        )
        yield host
    finally:
        host.kill()


@pytest.fixture(scope="module")
def growing(backends: StackUnderTest, cloud: Host, folder: Path) -> Iterator[Trial]:
    """All pipelines on it, with a technical analyzer that a test can hold up."""
    (folder / "growing").mkdir()
    trial = Trial(backends, folder / "growing")
    trial.write_config(placement=PLACEMENT, channels=[{"kind": "jsonl", "path": f"{HOME}/alerts.jsonl"}])
    trial.apply_topics()
    (cloud.folder / "home" / "settings.yaml").write_text(trial.config.read_text())
    driver = ManagedProcess(
        "driver",
        [
            *(*SSH, "-i", str(cloud.key), f"root@{cloud.address}"),
            f"cd {ROOT} && exec {BIN}/python -m tests.faulty_analyzers --config {HOME}/settings.yaml",
        ],
        folder / "growing" / "driver.log",
    )
    driver.start()
    try:
        driver.wait_until_ready(lambda: "running: " in "\n".join(driver.tail(100)), DEADLINE_S)
        yield trial
    finally:
        driver.stop()
        trial.close()


def pool(trial: Trial) -> dict[str, Any]:
    rows = {row["name"]: row for row in StatusStore(trial.database()).read()}
    found: dict[str, Any] = next(r for r in rows["supervisor/run"]["pools"] if r["pool"] == "technical")
    return found


def nodes(host: Host) -> int:
    return int(host.shell("ps -eo args | grep -c '[r]aylet/raylet'").stdout)


def demand(host: Host) -> str:
    """Return what ``ray status`` says that is asked for and not there."""
    return host.shell("ray status").stdout.partition("Pending Demands:")[2].strip()


def test_a_pool_that_wants_more_gets_a_node_and_gives_it_back(growing: Trial, cloud: Host) -> None:
    symbols = [f"CG{i}" for i in range(12)]
    sent = [bar(symbol, number) for number in range(20) for symbol in symbols]
    assert (pool(growing)["serving"], nodes(cloud)) == (1, 1)
    fault = cloud.folder / "home" / "fault"
    fault.write_text("hold 0")
    growing.publish(PRICES, keyed(sent))
    assert eventually(lambda: pool(growing)["serving"] == 2, DEADLINE_S), pool(growing)
    assert nodes(cloud) == 2
    # A third would need a node that the cluster may not have: it is asked for, and the others work on.
    assert eventually(lambda: "Ray is asked for one" in pool(growing)["why"], DEADLINE_S), pool(growing)
    assert eventually(lambda: "{'CPU': 2.0} * 1 (PACK): 1+ pending placement groups" in demand(cloud))
    assert all(stored(growing, s) == as_stored(b for b in sent if b.symbol == s) for s in symbols)
    fault.unlink()
    await_results(growing, sent)
    assert {len(ids) for s in symbols for ids in distinct_ids(growing, s).values()} == {1}
    assert eventually(lambda: pool(growing)["serving"] == nodes(cloud) == 1, DEADLINE_S), pool(growing)
    assert demand(cloud) == "(no resource demands)"
