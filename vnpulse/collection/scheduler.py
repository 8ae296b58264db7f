"""Scheduled triggers: every point of the schedule fires once a trading day, also across restarts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from vnpulse.clock import Clock
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.schedule import Moment, Schedule, triggers_of
from vnpulse.store.collection import CollectionStore

log = logging.getLogger(__name__)

STATE = "schedule"

LONGEST_WAIT_MS = 3_600_000


class _State(msgspec.Struct):
    fired_through_ms: int


class Scheduler:
    """Fires what came due since the last time, then notes how far that was.

    Misfires: a point missed by at most the grace is made up for, once; an older one is dropped, counted
    under ``misfired`` and logged. A crash between firing and noting fires again, with the same ids. The
    very first start begins at the present.
    """

    name = STATE

    def __init__(
        self,
        schedule: Schedule,
        grace_ms: int,
        symbols: Sequence[str],
        outbox: Outbox,
        store: CollectionStore,
        clock: Clock,
    ) -> None:
        self._schedule = schedule
        self._grace_ms = grace_ms
        self._symbols = symbols
        self._outbox = outbox
        self._store = store
        self._clock = clock
        self._fired_through_ms: int | None = None
        self._unnoted_ms: int | None = None
        self.counts: Counter[str] = Counter()

    def step(self) -> int:
        """Fire what is due; return when to step next. Raises what broker and store raise."""
        self._settle()
        now_ms = self._clock.now_ms()
        if self._fired_through_ms is None:
            saved = self._store.load(STATE)
            if saved is None:
                self._unnoted_ms = self._fired_through_ms = now_ms
            else:
                self._fired_through_ms = msgspec.msgpack.decode(saved, type=_State).fired_through_ms
        due = self._schedule.due(self._fired_through_ms, now_ms)
        for moment in due:
            self._fire(moment, now_ms)
        if due:
            self._unnoted_ms = self._fired_through_ms = now_ms
        self._settle()
        following = self._schedule.next_after(now_ms)
        soonest = now_ms + LONGEST_WAIT_MS
        return soonest if following is None else min(soonest, following.at_ms)

    def _settle(self) -> None:
        """Make what was fired durable, then note how far that is."""
        self._outbox.flush()
        if self._unnoted_ms is not None:
            self._store.save(STATE, msgspec.msgpack.encode(_State(self._unnoted_ms)))
            self._unnoted_ms = None

    def _fire(self, moment: Moment, now_ms: int) -> None:
        late_s = (now_ms - moment.at_ms) / 1000
        if now_ms - moment.at_ms > self._grace_ms:
            self.counts["misfired"] += 1
            log.warning("schedule: %s of %s was missed by %.0f s and is dropped", *moment[1:], late_s)
            return
        self._outbox.triggers(triggers_of(moment, self._symbols))
        self.counts["fired"] += 1
        log.info("schedule: %s of %s", *moment[1:])

    def status(self) -> dict[str, Any]:
        """Return counters and what comes next."""
        following = self._schedule.next_after(self._clock.now_ms())
        remark = f"next: {following.name} of {following.day}" if following else "no points"
        return {"error": "", "remark": remark, "counts": dict(self.counts + self._outbox.counts), "last": ""}

    def close(self) -> None:
        """Leave the broker."""
        self._outbox.close()
