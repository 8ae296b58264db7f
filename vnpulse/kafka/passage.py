"""Whether what was in the raw topics has come through: stored, analysed, and its results read.

Each hop commits how far it is after its effects are durable, so the way of everything that is in a raw
topic now can be followed by offsets: its end; then the storage group's offsets there; then the end of
the triggers; then the offsets of the analysis lanes; then the end of the results; then how far those
were read. No record says it, no clock is asked, and a topic without traffic has come through at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol, TypeVar

from vnpulse.clock import Clock
from vnpulse.errors import VnpulseError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.progress import Committed, lane_offset
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.messages import AnalysisType
from vnpulse.topics import CONSUMED, NEWS, PRICES, RESULTS, TRIGGERS

RETRY_MS = 1_000
"""After a question that the broker did not answer, before the next one."""

RAW: dict[AnalysisType, str] = {"technical": PRICES, "sentiment": NEWS}
"""What each analysis is about."""


_Answer = TypeVar("_Answer")


class Offsets(Protocol):
    """What the broker says of topics and groups, named as on the cluster, by partition."""

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offsets that the next records will get, open transactions included."""

    def committed(self, group: str, topic: str) -> dict[int, Committed]:
        """Return what ``group`` has committed, where it has."""


class BrokerOffsets:
    """Asks the broker, over a connection that is made when it is needed and again after a failure."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._admin: KafkaAdmin | None = None

    def ends(self, topic: str) -> dict[int, int]:
        """See Offsets. Raises BrokerUnavailable, KafkaRefused."""
        return self._ask(lambda admin: admin.ends(topic))

    def committed(self, group: str, topic: str) -> dict[int, Committed]:
        """See Offsets. Raises BrokerUnavailable, KafkaRefused."""
        return self._ask(lambda admin: admin.committed(group, topic))

    def _ask(self, question: Callable[[KafkaAdmin], _Answer]) -> _Answer:
        if self._admin is None:
            self._admin = KafkaAdmin(self._settings, self._client_id)
        try:
            return question(self._admin)
        except VnpulseError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the broker."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None


class KafkaPassage:
    """Follows one question at a time through the hops. See vnpulse.aggregation.order.Passage."""

    def __init__(self, settings: KafkaSettings, offsets: Offsets, clock: Clock) -> None:
        self._settings = settings
        self._offsets = offsets
        self._clock = clock
        self._kinds: list[AnalysisType] = []
        self._hops: Iterator[None] = iter(())
        self._positions: Mapping[int, int] = {}
        self._silent_until_ms = 0
        self.missing = ""

    def begin(self, kinds: Collection[AnalysisType]) -> None:
        """Ask anew. See Passage."""
        self._kinds = sorted(kinds)
        self._hops = self._follow(self._kinds)

    def done(self, positions: Mapping[int, int]) -> bool:
        """Go as far as it goes now. See Passage.

        A broker that does not answer, or not us, has not said yes.
        """
        self._positions = positions
        if self._clock.now_ms() < self._silent_until_ms:
            return False
        try:
            for _ in self._hops:
                return False
        except VnpulseError as error:
            self.missing = f"it is not known how far the analyses are: {error}"
            self._silent_until_ms = self._clock.now_ms() + RETRY_MS
            self.begin(self._kinds)
            return False
        return True

    def _follow(self, kinds: list[AnalysisType]) -> Iterator[None]:
        for kind in kinds:
            topic = self._settings.topic(RAW[kind])
            yield from self._handled(topic, self._settings.group(CONSUMED[RAW[kind]]))
        topic = self._settings.topic(TRIGGERS)
        yield from self._handled(topic, self._settings.group(CONSUMED[TRIGGERS]), kinds)
        # Whoever commits has its results in the log, but readers of committed records may not see them
        # yet: hence the end with open transactions, and waiting until that was read.
        ends = self._offsets.ends(self._settings.topic(RESULTS))
        while any(position < ends.get(p, 0) for p, position in self._positions.items()):
            self.missing = "results are not readable yet"
            yield

    def _handled(self, topic: str, group: str, lanes: Collection[str] = ()) -> Iterator[None]:
        """Return when ``group`` has done with what ``topic`` holds now, in each of its ``lanes``."""
        ends = {partition: end for partition, end in self._offsets.ends(topic).items() if end}
        while ends:
            committed = self._offsets.committed(group, topic)
            for partition, end in list(ends.items()):
                found = committed.get(partition)
                reached = [lane_offset(found, lane) for lane in lanes or ("",)] if found else [0]
                if min(reached) >= end:
                    del ends[partition]
            if ends:
                where = ", ".join(f"{partition}" for partition in sorted(ends))
                self.missing = f"{group} has not done with partition {where} of {topic}" + (
                    f" for {' and '.join(lanes)}" if lanes else ""
                )
                yield
