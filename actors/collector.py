"""The actor that collects."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.whereabouts import whereabouts
from vnpulse.clock import SystemClock
from vnpulse.collection.loop import CollectionLoop, Collector
from vnpulse.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CollectorSpec:
    """What is collected. ``make(settings, stopping)`` runs in the actor, on its collecting thread."""

    name: str
    make: Callable[[Settings, threading.Event], Collector]
    version: str = ""
    """What code, settings and sources it is made from; ``health`` says it again."""


class CollectorActor:
    """Runs one collector on a thread of its own.

    Hard state lives in the store and follows what is on the broker; losing this process loses at most
    the boards of the time until it is replaced. Names are unique, so no source is asked twice over.
    ``start``, ``health`` and ``stop`` may be called at any time and more than once, and answer at once
    while the thread waits for a slow source.
    """

    def __init__(self, spec: CollectorSpec, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._loop: CollectionLoop | None = None
        self._thread: threading.Thread | None = None
        self._fatal = ""

    def __repr__(self) -> str:
        return self._spec.name

    def start(self) -> None:
        """Begin collecting from the saved state."""
        if self._thread is not None and self._thread.is_alive():
            return
        spec, settings, stopping = self._spec, self._settings, threading.Event()
        self._fatal = ""
        self._loop = CollectionLoop(lambda: spec.make(settings, stopping), SystemClock(), stopping)
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name=spec.name, daemon=True)
        self._thread.start()

    def _run(self, loop: CollectionLoop) -> None:
        try:
            loop.run()
        except Exception as error:
            log.exception("%s stopped", self._spec.name)
            self._fatal = f"{type(error).__name__}: {error}"

    def health(self) -> dict[str, Any]:
        """Return counters, what is wrong if anything is, and a remark for people."""
        status = self._loop.health() if self._loop is not None else {}
        counts: dict[str, int] = status.get("counts", {})
        return {
            "pipeline": "collection",
            "version": self._spec.version,
            **whereabouts(),
            "alive": self._thread is not None and self._thread.is_alive(),
            "error": self._fatal or status.get("error", ""),
            "trouble": status.get("trouble", ""),
            "remark": status.get("remark", ""),
            "records": counts.get("records", 0) + counts.get("triggers", 0),
            "counts": counts,
            "last_rejection": status.get("last", ""),
        }

    def stop(self, deadline_s: float) -> bool:
        """Finish the step in hand and let go of sources and broker; True if done within ``deadline_s``."""
        if self._loop is None or self._thread is None:
            return True
        self._loop.stop()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()
