"""The actor that consumes partitions."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actors.ray_metrics import ray_metrics
from actors.whereabouts import whereabouts
from vnpulse.kafka.clients import open_measured_consumer, open_producer
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.kafka.progress import Lanes, Progress, SoleProgress
from vnpulse.kafka.settings import PipelineName
from vnpulse.kafka.transactions import TransactionalOutputs
from vnpulse.settings import Settings
from vnpulse.streaming.loop import Handler, LoopHealth, PartitionLoop
from vnpulse.streaming.outputs import Outputs
from vnpulse.topics import load_topics

log = logging.getLogger(__name__)

MakeHandler = Callable[[Settings, Outputs, DeadLetters], Handler]


@dataclass(frozen=True)
class ConsumerSpec:
    """Which partitions of which topic, for which group, and what is done with their records.

    ``topic`` and ``group`` are the names on the cluster. There is a loop for each of ``lanes``,
    all over the same partitions; the name of the only one is empty. The handlers are made in the
    actor, so connections are made where they are used. With ``writes``, a topic without prefix,
    what is sent goes out in transactions, compressed as that topic is.
    """

    name: str
    pipeline: PipelineName
    topic: str
    partitions: tuple[int, ...]
    group: str
    lanes: Mapping[str, MakeHandler]
    writes: str | None = None
    version: str = ""
    """What code and settings it is made from; ``health`` says it again."""


class _Lane:
    """One loop with its thread."""

    def __init__(self, name: str, loop: PartitionLoop, handler: Handler) -> None:
        self.loop = loop
        self.handler = handler
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.fatal = ""

    def _run(self) -> None:
        try:
            self.loop.run()
        except Exception as error:
            log.exception("%s stopped", self.thread.name)
            self.fatal = f"{type(error).__name__}: {error}"

    def error(self) -> str:
        """Return why its work fails now or has ended, or nothing."""
        health = self.loop.health()
        return self.fatal or (health.last_error if health.failing_since_s else "")


class PartitionConsumer:
    """Consumes a fixed set of partitions on threads of its own, one a lane.

    Hard state lives in Kafka (the group's offsets) and the store; losing this process loses
    nothing and repeats at most what was not committed. ``start``, ``health`` and ``stop`` may be
    called at any time and more than once; they answer at once while the threads work.

    Its name contains the group, the topic and the partitions, and names are unique in a
    namespace, so nobody else consumes the same partitions for the same group. Where that is not
    enough (a process that was given up and is still there), transactions fence the older one.
    """

    def __init__(self, spec: ConsumerSpec, settings: Settings) -> None:
        self._spec = spec
        self._settings = settings
        self._lanes: list[_Lane] = []

    def __repr__(self) -> str:
        return self._spec.name

    def start(self) -> None:
        """Begin consuming where the group has committed."""
        if any(lane.thread.is_alive() for lane in self._lanes):
            return
        names = list(self._spec.lanes)
        shared = Lanes(names) if len(names) > 1 else None
        self._lanes = [self._lane(name, shared.lane(name) if shared else SoleProgress()) for name in names]
        for lane in self._lanes:
            lane.thread.start()

    def _lane(self, name: str, progress: Progress) -> _Lane:
        spec, settings = self._spec, self._settings
        kafka = settings.kafka.model_copy(update={"consumer": settings.kafka.consumer_of(spec.pipeline)})
        client_id = f"{spec.name}/{name}" if name else spec.name
        topics = load_topics()
        outputs: Outputs
        if spec.writes is not None:
            codec = topics[spec.writes].compression
            outputs = TransactionalOutputs(
                kafka, spec.topic, spec.partitions, spec.group, client_id, codec, progress, ray_metrics()
            )
        else:
            outputs = PlainOutputs(open_producer(kafka, topics, client_id, ray_metrics()), progress)
        handler = spec.lanes[name](settings, outputs, DeadLetters(outputs, spec.name, ray_metrics()))
        loop = PartitionLoop(
            lambda: open_measured_consumer(
                kafka, spec.topic, spec.partitions, spec.group, client_id, progress, ray_metrics()
            ),
            handler,
            outputs,
            kafka.retry,
        )
        return _Lane(client_id, loop, handler)

    def health(self) -> dict[str, Any]:
        """Return positions, counters and times; ``error`` is not empty when consuming has failed.

        Of several lanes, the slowest one's position and times; ``behind_s`` by lane.
        """
        healths = [lane.loop.health() for lane in self._lanes]
        positions = [h.positions for h in healths if h.positions]
        return {
            "pipeline": self._spec.pipeline,
            "version": self._spec.version,
            **whereabouts(),
            "topic": self._spec.topic,
            "group": self._spec.group,
            "partitions": list(self._spec.partitions),
            "alive": bool(self._lanes) and all(lane.thread.is_alive() for lane in self._lanes),
            "error": "; ".join(filter(None, (lane.error() for lane in self._lanes))),
            "positions": {str(p): min(some[p] for some in positions) for p in self._spec.partitions}
            if positions
            else {},
            "records": max((h.records for h in healths), default=0),
            "last_poll_s": min((h.last_poll_s for h in healths), default=0.0),
            "last_record_s": min((h.last_record_s for h in healths), default=0.0),
            "pauses": sum(h.pauses for h in healths),
            "paused": any(h.paused_since_s for h in healths),
            "behind_s": {name: _behind_s(h) for name, h in zip(self._spec.lanes, healths, strict=False)},
            "failing_since_s": min((h.failing_since_s for h in healths if h.failing_since_s), default=0.0),
            "counts": dict(
                sum((Counter(getattr(lane.handler, "counts", {})) for lane in self._lanes), Counter())
            ),
        }

    def stop(self, deadline_s: float) -> bool:
        """Finish the batch in hand, commit, close; True if that was done within ``deadline_s``."""
        for lane in self._lanes:
            lane.loop.stop()
        give_up_at = time.monotonic() + deadline_s
        for lane in self._lanes:
            lane.thread.join(max(0.0, give_up_at - time.monotonic()))
        return not any(lane.thread.is_alive() for lane in self._lanes)


def _behind_s(health: LoopHealth) -> float:
    """Return for how long the oldest record that is being handled has been on the broker."""
    return round(max(0.0, time.time() - health.oldest_s), 1) if health.oldest_s else 0.0
