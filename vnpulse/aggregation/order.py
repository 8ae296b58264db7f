"""In which order results are decided: that in which what they are about entered Kafka.

Prices and news are analysed side by side, and which result is there first is chance. What a result is
about has a place in the log, and that is no chance: ``Place`` is when the broker appended the bar or the
article. Deciding by places gives the alerts that a single process would give for which analysis takes no
time, in every run over the same log.

A result can be decided when no other can come that has a place before it. ``Frontier`` finds out how far
that is so. It is a watermark, with a proof instead of a guess: it asks for a place whether everything that
was in the raw topics has come through (``Passage``). An idle topic holds up nothing, since all of it
has come through.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from vnpulse.clock import Clock
from vnpulse.messages import AnalysisResult, AnalysisType, RecordRef

log = logging.getLogger(__name__)

LONGEST_STEP_MS = 1_000
"""What one look can add to a wait. A process that was suspended, or a broker that did not answer, makes
a long gap between two looks, of which nobody has seen that an analysis is behind."""


class Place(NamedTuple):
    """Where in the order a result belongs: that of the raw record that it is about.

    ``append_ms``: epoch milliseconds of the append. In one millisecond news (``rank`` 0) comes before
    prices (1): nobody has traded on an article before it was there.
    """

    append_ms: int
    rank: int
    partition: int
    offset: int

    @property
    def following(self) -> Place:
        """The least place after this one."""
        return self._replace(offset=self.offset + 1)


START = Place(0, 0, 0, 0)

_RANK: dict[AnalysisType, int] = {"sentiment": 0, "technical": 1}
_OF_NOTHING = 2


def place_of(result: AnalysisResult, record: RecordRef) -> Place:
    """Return the place of ``result``, read from ``record``; if it is about no record, that is its own."""
    source = result.metadata.source
    if source is None or not source.timestamp:
        return Place(record.timestamp, _OF_NOTHING, record.partition, record.offset)
    return Place(source.timestamp, _RANK[result.analysis_type], source.partition, source.offset)


class Passage(Protocol):
    """Finds out whether what was in the raw topics has come through. See vnpulse.kafka.passage."""

    def begin(self, kinds: Collection[AnalysisType]) -> None:
        """Ask anew, about all that is now in the raw topics that these analyses read."""

    def done(self, positions: Mapping[int, int]) -> bool:
        """Say whether all of it is analysed and its results lie below ``positions``, by partition."""

    @property
    def missing(self) -> str:
        """What is waited for, for people."""


class Frontier:
    """How far results can be decided: ``bound``, below which no other result will come.

    ``proved`` is how far that is certain. When an analysis is more than ``wait_ms`` behind, ``bound``
    goes on without it until it has caught up, and what comes between the two was decided without knowing
    everything.
    """

    def __init__(self, passage: Passage, wait_ms: int, clock: Clock) -> None:
        self._passage = passage
        self._wait_ms = wait_ms
        self._clock = clock
        self._newest = START
        self._goal: Place | None = None
        self._asked: frozenset[AnalysisType] = frozenset()
        self._looked_ms = 0
        self._waited_ms = 0
        self.bound = START
        self.proved = START
        self.gave_up = False
        """Whether an analysis is so far behind that nothing waits for it."""

    def read(self, places: Iterable[Place]) -> None:
        """Take note of the places of results that were read."""
        self._newest = max((self._newest, *places))

    def look(self, positions: Mapping[int, int], news: Collection[Place]) -> None:
        """Move the bound as far as it can be.

        ``positions``: the offset by partition below which every result was read. ``news``: the places of
        what waits and is about articles. Raises what the passage raises.
        """
        now_ms = self._clock.now_ms()
        step_ms = min(max(0, now_ms - self._looked_ms), LONGEST_STEP_MS)
        self._looked_ms = now_ms
        if self._goal is None:
            if self._newest < self.proved or self._newest == START:
                return
            # Bars wait for news, and news for bars. News is rare, so mostly nothing waits for a bar.
            self._asked = frozenset({"technical", "sentiment"} if news else {"sentiment"})
            self._passage.begin(self._asked)
            self._goal = self._newest.following
            step_ms = 0
        if self._passage.done(positions):
            self._reach(self._goal, news)
            return
        self._waited_ms += step_ms
        if self._waited_ms >= self._wait_ms and not self.gave_up:
            self.gave_up = True
            log.error(
                "not waiting any longer: after %.0f s %s; alerts go out without what is missing",
                self._waited_ms / 1000,
                self._passage.missing,
            )
        if self.gave_up:
            self.bound = max(self.bound, self._newest.following)

    def _reach(self, goal: Place, news: Collection[Place]) -> None:
        if "technical" not in self._asked:
            # An article that came meanwhile may have bars before it that are not here yet.
            goal = min((goal, *news))
        self.proved = max(self.proved, goal)
        self.bound = max(self.bound, self.proved)
        self._goal = None
        self._waited_ms = 0
        if self.gave_up and self.proved > self._newest:
            self.gave_up = False
            log.warning("the analyses have caught up: alerts rest on all results again")
