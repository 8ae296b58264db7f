"""News: every source on a schedule of its own, edits included, and nothing sent twice without need."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from vnpulse.clock import Clock
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.sources import NewsSource, SourceBlocked, SourceError
from vnpulse.store.collection import CollectionStore

log = logging.getLogger(__name__)

JITTER = 0.1
"""Requests are spread by this fraction of the period, so that no feed is asked on the minute."""

LONGEST_PAUSE_S = 3_600
IDLE_WAIT_MS = 60_000


class _State(msgspec.Struct):
    due_ms: int
    source: bytes


@dataclass
class _Scheduled:
    source: NewsSource
    every_s: float
    due_ms: int = 0
    failures: int = 0
    error: str = ""


class NewsCollector:
    """One step: each source that is due is asked, its articles are made durable, then its state is saved.

    A failing source is asked ever more seldom, up to once an hour, or when it said that we may; the
    others are not held up. When it is due next is saved too: a restart asks nobody early.
    """

    name = "news"

    def __init__(
        self,
        sources: Sequence[tuple[NewsSource, float]],
        outbox: Outbox,
        store: CollectionStore,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``sources`` with the seconds between two requests; ``jitter`` returns numbers in [0, 1)."""
        self._scheduled = [_Scheduled(source, every_s) for source, every_s in sources]
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._jitter = jitter
        self._restored = False
        self._sending: _Scheduled | None = None
        self.counts: Counter[str] = Counter()

    def step(self) -> int:
        """Ask who is due; return when to step next (epoch ms). Raises what broker and store raise."""
        self._restore()
        self._settle()
        now_ms = self._clock.now_ms()
        for scheduled in self._scheduled:
            if scheduled.due_ms <= now_ms:
                self._ask(scheduled)
        return min((s.due_ms for s in self._scheduled), default=now_ms + IDLE_WAIT_MS)

    def poll_once(self) -> None:
        """Ask every source now, whenever it is due. Raises what broker and store raise."""
        self._restore()
        for scheduled in self._scheduled:
            self._ask(scheduled)

    def _ask(self, scheduled: _Scheduled) -> None:
        source = scheduled.source
        try:
            items = source.fetch()
        except SourceError as error:
            self._failed(scheduled, error)
            return
        self._outbox.news(items)
        self._sending = scheduled
        self._settle()

    def _settle(self) -> None:
        """Make what was fetched durable, then note it. Until that succeeds nobody is asked again."""
        self._outbox.flush()
        scheduled = self._sending
        if scheduled is None:
            return
        source = scheduled.source
        source.confirm()
        if scheduled.error:
            log.info("news: %s answers again", source.name)
        scheduled.failures, scheduled.error = 0, ""
        self._due_in(scheduled, scheduled.every_s)
        state = _State(scheduled.due_ms, source.dump())
        self._store.save(f"news/{source.name}", msgspec.msgpack.encode(state))
        self.counts["requests"] += 1
        self._sending = None

    def _failed(self, scheduled: _Scheduled, error: SourceError) -> None:
        self.counts["failed_requests"] += 1
        scheduled.failures += 1
        if not scheduled.error:
            log.warning("news: %s", error)
        scheduled.error = str(error)
        pause_s = min(LONGEST_PAUSE_S, scheduled.every_s * 2 ** min(scheduled.failures - 1, 10))
        if isinstance(error, SourceBlocked):
            pause_s = max(pause_s, error.retry_after_s or LONGEST_PAUSE_S)
        self._due_in(scheduled, pause_s)

    def _due_in(self, scheduled: _Scheduled, pause_s: float) -> None:
        factor = 1 + JITTER * (2 * self._jitter() - 1)
        scheduled.due_ms = self._clock.now_ms() + int(pause_s * factor * 1000)

    def _restore(self) -> None:
        if self._restored:
            return
        for scheduled in self._scheduled:
            saved = self._store.load(f"news/{scheduled.source.name}")
            if saved is not None:
                state = msgspec.msgpack.decode(saved, type=_State)
                scheduled.source.load(state.source)
                # A feed that is asked more often than before must not wait for the old time.
                latest = self._clock.now_ms() + int(scheduled.every_s * (1 + JITTER) * 1000)
                scheduled.due_ms = min(state.due_ms, latest)
        self._restored = True

    def status(self) -> dict[str, Any]:
        """Return counters, and which sources fail."""
        counts = self.counts + self._outbox.counts
        for scheduled in self._scheduled:
            counts += getattr(scheduled.source, "counts", Counter())
        failing = [s.error for s in self._scheduled if s.error]
        remark = f"{len(self._scheduled) - len(failing)} of {len(self._scheduled)} sources answer"
        if failing:
            remark += f" ({'; '.join(failing)})"
        error = remark if failing and len(failing) == len(self._scheduled) else ""
        return {"error": error, "remark": remark, "counts": dict(counts), "last": self._outbox.last_rejection}

    def close(self) -> None:
        """Let go of the sources and the broker."""
        for scheduled in self._scheduled:
            scheduled.source.close()
        self._outbox.close()
