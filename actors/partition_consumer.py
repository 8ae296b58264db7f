"""The actor that consumes partitions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.whereabouts import whereabouts
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.settings import Settings
from vnpulse.streaming.loop import Handler, PartitionLoop

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConsumerSpec:
    """Which partitions of which topic, for which group, and what is done with their records.

    ``topic`` and ``group`` are the names on the cluster; ``make_handler(settings, name)`` runs in
    the actor, so connections are made where they are used.
    """

    name: str
    pipeline: str
    topic: str
    partitions: tuple[int, ...]
    group: str
    make_handler: Callable[[Settings, str], Handler]
    version: str = ""
    """What code and settings it is made from; ``health`` says it again."""


class PartitionConsumer:
    """Consumes a fixed set of partitions on a thread of its own.

    Hard state lives in Kafka (the group's offsets) and the store; losing this process loses
    nothing and repeats at most what was not committed. ``start``, ``health`` and ``stop`` may be
    called at any time and more than once; they answer at once while the thread works.

    Its name contains the group, the topic and the partitions, and names are unique in a
    namespace, so nobody else consumes the same partitions for the same group.
    """

    def __init__(self, spec: ConsumerSpec, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._loop: PartitionLoop | None = None
        self._thread: threading.Thread | None = None
        self._handler: Handler | None = None
        self._fatal = ""

    def __repr__(self) -> str:
        return self._spec.name

    def start(self) -> None:
        """Begin consuming where the group has committed."""
        if self._thread is not None and self._thread.is_alive():
            return
        spec, settings = self._spec, self._settings
        self._fatal = ""
        self._handler = spec.make_handler(settings, spec.name)
        self._loop = PartitionLoop(
            lambda: AssignedConsumer(settings.kafka, spec.topic, spec.partitions, spec.group, spec.name),
            self._handler,
        )
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name=spec.name, daemon=True)
        self._thread.start()

    def _run(self, loop: PartitionLoop) -> None:
        try:
            loop.run()
        except Exception as error:
            log.exception("%s stopped", self._spec.name)
            self._fatal = f"{type(error).__name__}: {error}"

    def health(self) -> dict[str, Any]:
        """Return positions, counters and times; ``error`` is not empty when consuming has failed."""
        loop = self._loop.health() if self._loop is not None else None
        alive = self._thread is not None and self._thread.is_alive()
        error = self._fatal or (loop.last_error if loop and loop.failing_since_s else "")
        return {
            "pipeline": self._spec.pipeline,
            "version": self._spec.version,
            **whereabouts(),
            "topic": self._spec.topic,
            "group": self._spec.group,
            "partitions": list(self._spec.partitions),
            "alive": alive,
            "error": error,
            "positions": {str(p): o for p, o in loop.positions.items()} if loop else {},
            "records": loop.records if loop else 0,
            "last_poll_s": loop.last_poll_s if loop else 0.0,
            "last_record_s": loop.last_record_s if loop else 0.0,
            "failing_since_s": loop.failing_since_s if loop else 0.0,
            "counts": dict(getattr(self._handler, "counts", {})),
        }

    def stop(self, deadline_s: float) -> bool:
        """Finish the batch in hand, commit, close; True if that was done within ``deadline_s``."""
        if self._loop is None or self._thread is None:
            return True
        self._loop.stop()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()
