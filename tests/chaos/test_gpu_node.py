"""Another job has the only GPU, and gives it back while bars flow; then its node is lost, and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.integration.pipelines.flow import flowing
from tests.integration.pipelines.outcome import assert_all_there_once
from tests.integration.trial import ROOT, StackUnderTest, Trial
from tests.integration.waiting import eventually
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.embedded.stack import EmbeddedStack
from vnpulse.store.status import StatusStore

ANALYZERS = ("sentiment/0", "technical/0")
LOST = "this Ray cluster has no GPU; on CPUs instead: technical/0, sentiment/0"
IN_VAIN = "found no node with a GPU to spare; on a CPU until there is one"

USES_THE_GPU = """
import sys
import ray

@ray.remote(num_cpus=0, num_gpus=1)
class Other:
    def here(self):
        return "here"

ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
other = Other.remote()
print(ray.get(other.here.remote()), flush=True)
sys.stdin.read()
"""

PLACEMENT = {
    "technical": {"num_gpus": 0.25},
    "sentiment": {"num_gpus": 0.25},
    # It is to see the loss, not to be part of it.
    "supervisor": {"resources": {"node:__internal_head__": 0.001}},
}


@pytest.fixture(scope="module")
def other_job(two_nodes: EmbeddedStack) -> Iterator[subprocess.Popen[str]]:
    """Another job on that Ray, which has the GPU until its standard input is closed."""
    assert two_nodes.addresses is not None
    with subprocess.Popen(
        [sys.executable, "-c", USES_THE_GPU, two_nodes.addresses.ray_address or ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in ray_environment().items() if value is not None},
        cwd=ROOT,
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "here\n"
        yield job


@pytest.fixture(scope="module")
def on_two_nodes(
    two_nodes: EmbeddedStack,
    other_job: subprocess.Popen[str],
    stack: StackUnderTest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trial]:
    """All pipelines on it, with the session's Kafka and store; no GPU is to spare when they start."""
    assert two_nodes.addresses is not None
    on_it = replace(stack, ray_address=two_nodes.addresses.ray_address or "")
    trial = Trial(on_it, tmp_path_factory.mktemp("trial"))
    try:
        trial.write_config(placement=PLACEMENT)
        trial.apply_topics()
        trial.run_pipelines("tests.chaos.soon_on_gpus")
        yield trial
    finally:
        trial.close()


def gpus(trial: Trial) -> list[list[str]]:
    """Return the GPUs of each analyzer when all actors run, else nothing."""
    rows = {row["name"]: row for row in StatusStore(trial.database()).read()}
    if not all(row["status"] == "running" for row in rows.values()):
        return []
    return [rows[name].get("gpus", []) for name in ANALYZERS]


def kill_the_node(nodes: EmbeddedStack) -> None:
    process = nodes.process("ray-worker")
    assert process is not None
    raylet = process.descendant("raylet")
    assert raylet is not None
    os.kill(raylet, signal.SIGKILL)


def test_analyzers_get_the_gpu_that_another_job_gives_back(
    other_job: subprocess.Popen[str], on_two_nodes: Trial
) -> None:
    trial = on_two_nodes
    assert eventually(lambda: gpus(trial) == [[], []])
    with flowing(trial, ["GC0", "GC1"]) as sent:
        other_job.communicate()
        assert eventually(lambda: gpus(trial) == [["0"], ["0"]])
    assert_all_there_once(trial, sent)
    assert trial.drivers[-1].log().count(IN_VAIN) == len(ANALYZERS)


def test_analyzers_of_a_lost_gpu_go_on_on_cpus_and_back_when_it_returns(
    two_nodes: EmbeddedStack, on_two_nodes: Trial
) -> None:
    trial = on_two_nodes
    assert eventually(lambda: gpus(trial) == [["0"], ["0"]])
    with flowing(trial, ["GA0", "GA1"]) as sent:
        kill_the_node(two_nodes)
        assert eventually(lambda: gpus(trial) == [[], []])
    assert_all_there_once(trial, sent)
    with flowing(trial, ["GB0", "GB1"]) as sent:
        assert two_nodes.revive() == ["ray-worker"]
        assert eventually(lambda: gpus(trial) == [["0"], ["0"]])
    assert_all_there_once(trial, sent)
    assert trial.drivers[-1].log().count(LOST) == 1
