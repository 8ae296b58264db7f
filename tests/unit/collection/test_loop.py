"""The loop waits for what passes by itself, and for nothing else."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from vnpulse.clock import SystemClock
from vnpulse.collection import loop as loop_module
from vnpulse.collection.loop import CollectionLoop
from vnpulse.errors import BrokerUnavailable, UserError


class Scripted:
    """Raises what it is told, in order; stops the loop when nothing is left."""

    name = "prices"

    def __init__(self, stopping: threading.Event, *errors: Exception) -> None:
        self.errors = list(errors)
        self.stopping = stopping
        self.seen: list[str] = []
        self.closed = False
        self.loop: CollectionLoop | None = None

    def step(self) -> int:
        assert self.loop is not None
        self.seen.append(self.loop.health()["error"])
        if self.errors:
            raise self.errors.pop(0)
        if len(self.seen) > 3:
            self.stopping.set()
        return 0

    def status(self) -> dict[str, Any]:
        return {"error": "", "remark": "from vci", "counts": {}, "last": ""}

    def close(self) -> None:
        self.closed = True


def run(*errors: Exception) -> Scripted:
    stopping = threading.Event()
    collector = Scripted(stopping, *errors)
    collector.loop = CollectionLoop(lambda: collector, SystemClock(), stopping)
    try:
        collector.loop.run()
    finally:
        assert collector.closed
    return collector


def test_a_broker_that_is_away_is_waited_for_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "BACKOFF_BASE_S", 0.001)
    collector = run(BrokerUnavailable("no broker"), BrokerUnavailable("no broker"))
    assert collector.seen == ["", "no broker", "no broker", ""]


def test_a_mistake_ends_it() -> None:
    with pytest.raises(UserError, match="no such program"):
        run(UserError("no such program"))


def test_it_says_nothing_is_wrong_before_it_has_begun() -> None:
    loop = CollectionLoop(lambda: None, SystemClock(), threading.Event())  # type: ignore[arg-type, return-value]
    assert loop.health() == {"error": "", "trouble": "", "remark": "", "counts": {}, "last": ""}
