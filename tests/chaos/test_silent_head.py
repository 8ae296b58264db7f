"""Ray's head neither dies nor answers: what the supervisor does every second goes on."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.trial import ROOT
from vnpulse.embedded.ports import PortBook
from vnpulse.embedded.ray_head import RayHead, RayHeadConfig, ray_environment

SUPERVISES = """
import os, signal, sys
import ray
from actors.ray_port import ActorSpec, RayPort

class Actor:
    def health(self):
        return "well"

def spec(name, num_gpus=0.0):
    return ActorSpec(name, Actor, (), 0, 0, num_gpus=num_gpus)

ray.init(sys.argv[1], namespace="silent", log_to_driver=False, logging_level="ERROR")
gcs = int(sys.argv[2])
port = RayPort("silent")
lives, dies, waits = port.create(spec("lives")), port.create(spec("dies")), port.create(spec("waits", 1))
room = port.reserve(spec("more", 1))
for actor in (lives, dies):
    port.answer(port.call(actor, "health"), 60)
os.kill(gcs, signal.SIGSTOP)
try:
    questions = port.ask_node(waits), port.ask_room(room), port.ask_gpus()
    port.kill(dies)
    for _ in range(10):
        print(port.answer(port.call(lives, "health"), 60))
    print(*map(port.is_done, questions))
finally:
    os.kill(gcs, signal.SIGCONT)
print(*(port.answer(question, 60) for question in questions))
"""


@pytest.fixture
def head() -> Iterator[RayHead]:
    with tempfile.TemporaryDirectory(prefix="vnp-") as folder:
        config = RayHeadConfig(folder=Path(folder), num_gpus=0, with_dashboard=False)
        head = RayHead(config, PortBook(config.folder / "ports.json"))
        head.start()
        yield head
        head.stop()


def test_living_actors_are_called_while_questions_to_a_silent_head_wait(head: RayHead) -> None:
    assert head.process is not None
    gcs = head.process.descendant("gcs_server")
    environment = {name: value for name, value in ray_environment().items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISES, head.address, str(gcs)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    *said, unanswered, answers = done.stdout.splitlines() or [done.stderr, "", ""]
    assert said == ["well"] * 10
    assert unanswered == "False False False"
    assert answers == "Place(has_node=False, on_gpu=True) False {}"
