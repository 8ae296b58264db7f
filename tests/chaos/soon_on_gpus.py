"""All pipelines, whose supervisor waits seconds instead of minutes before it uses GPUs or does without.

``python -m tests.chaos.soon_on_gpus --config FILE`` is the driver.
"""

from __future__ import annotations

from typing import Any

from actors import gpu_watch, supervisor
from actors.supervisor_actor import Plan
from pipelines import runtime
from pipelines.plan import PIPELINES, PipelinePlanner

SETTLE_S, PLACE_PERIOD_S = 5.0, 5.0


class SoonPlanner(PipelinePlanner):
    """Plans the same."""

    def plan(self, *situation: Any) -> Plan:
        """See Planner. Called in the supervisor's process."""
        gpu_watch.SETTLE_S, supervisor.PLACE_PERIOD_S = SETTLE_S, PLACE_PERIOD_S
        return super().plan(*situation)


def run() -> None:
    """Be the driver."""
    runtime.main(*PIPELINES, plan_by=SoonPlanner)


if __name__ == "__main__":
    # What a driver's main module defines is sent by value; by its name it is found everywhere.
    from tests.chaos import soon_on_gpus

    soon_on_gpus.run()
