"""All pipelines with a technical analyzer that is slow or stuck on demand.

``python -m tests.faulty_analyzers --config FILE`` is the driver; what is wrong
is said by a file beside that of the alerts, which a test writes and removes:

* ``slow S``: every request takes S seconds more;
* ``hold 0``: no request comes to an end, but the analyzer says that it gets on;
* ``hang PID``: the process of this id does not come back from its next request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors import supervisor
from actors.analyzers import TechnicalActor
from actors.supervisor_actor import Plan
from pipelines import runtime
from pipelines.plan import PIPELINES, PipelinePlanner
from vnpulse.analysis import AnalysisRequest
from vnpulse.messages import AnalysisResult
from vnpulse.notification.settings import JsonLinesChannel
from vnpulse.settings import Settings

PERIOD_S = 0.01
PROBE_TIMEOUT_S = 2.0


def fault_file(settings: Settings) -> Path:
    """Return the file that says what is wrong with the analyzer of a deployment."""
    (channel,) = settings.channels
    assert isinstance(channel, JsonLinesChannel)
    return channel.path.with_name("fault")


class _Faulty:
    """An analyzer, and what is wrong with it."""

    def __init__(self, analyzer: Any, file: Path, progressed: Callable[[], None]) -> None:
        self._analyzer = analyzer
        self._file = file
        self._progressed = progressed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._analyzer, name)

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        for _ in requests:
            began = time.monotonic()
            while self._is_held(time.monotonic() - began):
                time.sleep(PERIOD_S)
        results: list[AnalysisResult] = self._analyzer.analyze(requests)
        return results

    def _is_held(self, seconds: float) -> bool:
        try:
            what, value = self._file.read_text().split()
        except FileNotFoundError:
            return False
        if what != "hang":
            self._progressed()
            return what == "hold" or seconds < float(value)
        return os.getpid() == int(value)


class FaultyTechnicalActor(TechnicalActor):
    """In smaller slices and found stuck sooner, so that tests need not wait so long."""

    SLICE = 4
    SLOW_AFTER_S = 2.0
    STUCK_AFTER_S = 4.0

    def _make(self) -> Any:
        return _Faulty(super()._make(), fault_file(self._settings), self.progressed)


FAULTY: dict[type, type] = {TechnicalActor: FaultyTechnicalActor}


class FaultyPlanner(PipelinePlanner):
    """Plans the same actors, but for the technical ones."""

    def plan(self, *situation: Any) -> Plan:
        """See Planner. Called in the supervisor's process, where tests need not wait so long for a probe."""
        supervisor._TIMEOUT_S[supervisor._PROBE] = PROBE_TIMEOUT_S
        plan = super().plan(*situation)
        specs = [replace(s, plain_class=FAULTY.get(s.plain_class, s.plain_class)) for s in plan.specs]
        return plan._replace(specs=specs)


def run() -> None:
    """Be the driver."""
    runtime.main(*PIPELINES, plan_by=FaultyPlanner)


if __name__ == "__main__":
    # What a driver's main module defines is sent by value; by its name it is found everywhere.
    from tests import faulty_analyzers

    faulty_analyzers.run()
