"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_S = 60.0
"""Only a failing test waits this long; two cores may be shared with other suites."""

PERIOD_S = 0.05

_T = TypeVar("_T")


def eventually(condition: Callable[[], _T], deadline_s: float = DEADLINE_S) -> _T:
    """Return the first true value of ``condition``, or its last value when the deadline passes."""
    give_up_at = time.monotonic() + deadline_s
    while not (value := condition()) and time.monotonic() < give_up_at:
        time.sleep(PERIOD_S)
    return value
