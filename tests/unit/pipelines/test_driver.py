"""What a job's driver makes of a supervisor and a head that do not answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actors.ray_port import ActorGone
from pipelines.driver import EXIT_FAILURE, Driver
from pipelines.plan import PipelinePlanner
from vnpulse.errors import RayUnavailable
from vnpulse.settings import Settings
from vnpulse.store.control import ControlStore

FINISHED = {"events": [], "owner": "", "actors": [], "all_running": True, "finished": True, "unfinished": []}
GOES_ON = FINISHED | {"finished": False}


class Supervised:
    """Stands for Ray with a supervisor in it. ``trouble`` are the errors of the next questions, in order."""

    def __init__(self) -> None:
        self.trouble: list[Exception | None] = []
        self.asked: list[str] = []
        self.told = threading.Event()
        """The driver is told to stop."""
        self.before: Callable[[], None] = lambda: None

    def find(self, name: str) -> str:
        self.before()
        if self.trouble and (error := self.trouble.pop(0)):
            raise error
        return name

    def call(self, handle: str, method: str, *arguments: Any) -> str:
        self.asked.append(method)
        return method

    def answer(self, pending: str, timeout_s: float) -> Any:
        return FINISHED if "stop" in self.asked else GOES_ON

    def kill(self, handle: str) -> None:
        self.asked.append("kill")


@pytest.fixture
def ray() -> Supervised:
    return Supervised()


@pytest.fixture
def driver(ray: Supervised) -> Driver:
    nowhere: Any = {"control": None}
    port: Any = ray
    settings = Settings.model_validate({"embedded": {}})
    return Driver(("storage",), settings, "1", ControlStore(nowhere), port, PipelinePlanner(("storage",)))


SILENT = RayUnavailable("Ray's head gives no answer")


def test_a_silent_head_is_said_once_and_the_driver_goes_on(
    ray: Supervised, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    ray.trouble = [None, SILENT, SILENT]
    ray.before = lambda: None if ray.trouble else ray.told.set()
    with caplog.at_level(logging.INFO, "vnpulse.pipelines"):
        assert driver.follow(ray.told) == 0
    assert caplog.messages.count("Ray's head gives no answer; what runs goes on") == 1
    assert ray.asked[-3:] == ["stop", "progress", "kill"]


def test_the_wish_to_stop_is_repeated_until_it_is_heard(ray: Supervised, driver: Driver) -> None:
    ray.told.set()
    ray.trouble = [SILENT, SILENT]
    assert driver.follow(ray.told) == 0
    assert ray.asked == ["stop", "progress", "kill"]


def test_a_supervisor_that_dies_while_stopping_is_a_failure(ray: Supervised, driver: Driver) -> None:
    ray.told.set()
    ray.trouble = [None, ActorGone("supervisor/storage")]
    assert driver.follow(ray.told) == EXIT_FAILURE
    assert ray.asked == ["stop"]


def test_a_supervisor_that_is_not_there_is_waited_for(
    ray: Supervised, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    ray.trouble = [ActorGone("supervisor/storage"), TimeoutError()]
    ray.before = lambda: None if ray.trouble else ray.told.set()
    assert driver.follow(ray.told) == 0
    assert caplog.messages.count("supervisor/storage does not answer; Ray restarts it") == 1
