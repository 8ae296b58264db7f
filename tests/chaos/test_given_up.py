"""A node whose raylet hangs counts as dead: its actors are made anew elsewhere, and themselves live on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.trial import ROOT
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.embedded.stack import EmbeddedStack

REFUSED = "Ray has given this process up and made another in its place"

KILLS_WHEN_REPLACED = """
import os, signal, sys, threading
from pathlib import Path
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from actors.ray_port import ActorSpec, RayPort
from tests.integration.waiting import eventually

class Victim:
    def health(self):
        return "well"

class Killer:
    def __init__(self, node, folder):
        self.port, self.folder = RayPort("given-up"), folder
        if node == self.node():
            threading.Thread(target=self.kill_when_told, daemon=True).start()

    def node(self):
        return ray.get_runtime_context().get_node_id()

    def kill_when_told(self):
        victim = self.port.find("victim")
        eventually((self.folder / "told").exists)
        try:
            self.port.kill(victim)
            said = "killed"
        except Exception as error:
            said = str(error)
        (self.folder / "writing").write_text(said)
        (self.folder / "writing").rename(self.folder / "said")

address, raylet, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
ray.init(address, namespace="given-up", log_to_driver=False, logging_level="ERROR")
is_head = {node["NodeID"]: "node:__internal_head__" in node["Resources"] for node in ray.nodes()}
here, there = sorted(is_head, key=is_head.get, reverse=True)
port = RayPort("given-up")
victim = port.create(ActorSpec("victim", Victim, (), 0, 0, resources={"node:__internal_head__": 0.001}))
port.answer(port.call(victim, "health"), 60)
there_first = NodeAffinitySchedulingStrategy(there, soft=True)
remote = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=there_first)(Killer)

def made_there():
    # It is made elsewhere as long as not all of Ray knows of that node.
    made = remote.remote(there, folder)
    if ray.get(made.node.remote()) == there:
        return made
    ray.kill(made)

killer = eventually(made_there)

def is_here():
    try:
        return ray.get(killer.node.remote(), timeout=5) == here
    except ray.exceptions.RayError:
        return False

os.kill(raylet, signal.SIGSTOP)
try:
    eventually(is_here)
    (folder / "told").touch()
    eventually((folder / "said").exists)
finally:
    os.kill(raylet, signal.SIGCONT)
print((folder / "said").read_text())
print(port.answer(port.call(victim, "health"), 60))
"""


def test_who_is_given_up_kills_nobody(two_nodes: EmbeddedStack, tmp_path: Path) -> None:
    assert two_nodes.addresses is not None
    worker = two_nodes.process("ray-worker")
    assert worker is not None
    done = subprocess.run(
        [
            *(sys.executable, "-c", KILLS_WHEN_REPLACED),
            *(two_nodes.addresses.ray_address or "", str(worker.descendant("raylet")), str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        env={name: value for name, value in ray_environment().items() if value is not None},
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    # Ray prints what it knows of the lost node in between.
    assert [line for line in done.stdout.splitlines() if line in (REFUSED, "killed", "well")] == [
        REFUSED,
        "well",
    ], done.stdout + done.stderr
