"""How far a group is on a partition, also where several loops read it for different records."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple, Protocol

import msgspec

from vnpulse.streaming.outputs import Holding


class Committed(NamedTuple):
    """What Kafka keeps of a group and partition: the next offset, and a text beside it."""

    offset: int
    metadata: str = ""


def lane_offset(committed: Committed, lane: str) -> int:
    """Return how far one lane of a group is; the group's offset if its lanes are not told apart."""
    try:
        marks = msgspec.json.decode(committed.metadata, type=dict[str, int])
    except msgspec.MsgspecError:
        return committed.offset
    return marks.get(lane, committed.offset)


class Progress(Protocol):
    """Turns one loop's offsets into what is committed for the group, and back."""

    lane: str
    """Which of several loops on the same partitions; empty for the only one."""

    @property
    def holding(self) -> Holding | None:
        """How this loop has less committed than it read; None if what is beside the offset is not its own."""

    def moving(self, partition: int, offset: int) -> AbstractContextManager[Committed]:
        """Give what to commit when this loop goes on at ``offset``; it counts if the block succeeds."""

    def resumed(self, partition: int, committed: Committed) -> int:
        """Return where this loop starts, given what the group has committed."""

    def moves(self, partition: int, offset: int) -> bool:
        """Say whether the committed offset changes when this loop goes on at ``offset``."""


class SoleProgress:
    """One loop reads a partition: its offset is the group's, unless it holds something back."""

    lane = ""

    def __init__(self) -> None:
        self._resumed: dict[int, Committed] = {}
        self._held: dict[int, tuple[int | None, str]] = {}
        self._committed: dict[int, int] = {}

    @property
    def holding(self) -> Holding:
        """Itself. See Progress."""
        return self

    def hold(self, partition: int, offset: int | None, note: str) -> None:
        """Take note. See Holding."""
        self._held[partition] = offset, note

    def found(self, partition: int) -> Committed:
        """Return it. See Holding."""
        return self._resumed.get(partition, Committed(0))

    @contextmanager
    def moving(self, partition: int, offset: int) -> Iterator[Committed]:
        """Yield the offset, or what holds it back. See Progress."""
        _, note = self._held.get(partition, (None, ""))
        yield Committed(self._limited(partition, offset), note)
        self._committed[partition] = self._limited(partition, offset)

    def moves(self, partition: int, offset: int) -> bool:
        """Compare with what was committed last. See Progress."""
        return self._limited(partition, offset) != self._committed.get(partition)

    def _limited(self, partition: int, offset: int) -> int:
        held, _ = self._held.get(partition, (None, ""))
        return offset if held is None else min(offset, held)

    def resumed(self, partition: int, committed: Committed) -> int:
        """Return the committed offset. See Progress."""
        self._resumed[partition] = committed
        self._committed[partition] = committed.offset
        return committed.offset


class Lanes:
    """Several loops of one group read the same partitions, each for records of its own kind.

    The slowest one's offset is committed, so lag is what the slowest has before it, and the
    offset of each is in the metadata beside it, so none repeats what it has done. Whoever sets
    the group's offset by hand writes no metadata, and then all lanes start there.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._marks: dict[int, dict[str, int]] = {}

    def lane(self, name: str) -> Lane:
        """Return the progress of one of them."""
        return Lane(self, name)

    @contextmanager
    def moving(self, name: str, partition: int, offset: int) -> Iterator[Committed]:
        """See Progress. One lane at a time: another's commit must not be overwritten with its past."""
        with self._locks[partition]:
            marks = self._marks[partition] | {name: offset}
            yield Committed(min(marks.values()), msgspec.json.encode(marks).decode())
            self._marks[partition] = marks

    def resumed(self, name: str, partition: int, committed: Committed) -> int:
        """See Progress."""
        with self._locks[partition]:
            stored = self._parsed(committed)
            # This lane may have been away from the broker, its last commit unanswered; what the
            # others have committed since is known here.
            marks = self._marks.get(partition, stored) | {name: stored[name]}
            self._marks[partition] = marks
            return marks[name]

    def _parsed(self, committed: Committed) -> dict[str, int]:
        try:
            marks = msgspec.json.decode(committed.metadata, type=dict[str, int])
        except msgspec.MsgspecError:
            marks = {}
        if marks.keys() != set(self._names) or min(marks.values()) != committed.offset:
            marks = dict.fromkeys(self._names, committed.offset)
        return marks


class Lane:
    """One of several loops. See Progress."""

    holding = None

    def __init__(self, lanes: Lanes, name: str) -> None:
        self._lanes = lanes
        self.lane = name

    def moving(self, partition: int, offset: int) -> AbstractContextManager[Committed]:
        """See Lanes."""
        return self._lanes.moving(self.lane, partition, offset)

    def resumed(self, partition: int, committed: Committed) -> int:
        """See Lanes."""
        return self._lanes.resumed(self.lane, partition, committed)

    def moves(self, partition: int, offset: int) -> bool:
        """Return True: where this lane is always matters."""
        return True
