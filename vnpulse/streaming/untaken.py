"""What is stored and still to be handed to the analyzers."""

from __future__ import annotations

from typing import Generic, TypeVar

from vnpulse.analysis import LONGEST_REPLAY
from vnpulse.batches import BarBatch, NewsBatch

RawBatch = TypeVar("RawBatch", BarBatch, NewsBatch)


class Untaken(Generic[RawBatch]):
    """Batches of a partition, one after the other, of which the analyzers have not said that they have them.

    Kept as far as they would be replayed (a megabyte of bars), so that they need not be read, checked and
    stored once more when the analyzers have time. Of more than that only the beginning is known.
    """

    def __init__(self, batches: list[RawBatch]) -> None:
        first = batches[0]
        self._start_offset = first.start_offset
        self.question: RawBatch = first.nothing_at(first.start_offset)
        """Asks which offset is expected."""
        self._kept: list[RawBatch] | None = batches

    def keep(self, batch: RawBatch) -> None:
        """Keep ``batch`` as well, unless it is one that came again."""
        if self._kept is None:
            return
        end = self._kept[-1].next_offset
        if batch.start_offset > end or batch.next_offset - self._start_offset > LONGEST_REPLAY:
            self._kept = None
        elif batch.next_offset > end:
            self._kept.append(batch)

    def lacking(self, latest: RawBatch, expected: int) -> list[RawBatch]:
        """Return what to hand over, up to ``latest``, to an analyzer that expects that offset.

        Nothing if that would be nothing new, or if what comes before it must be read again.
        """
        self.keep(latest)
        lacking = [batch for batch in self._kept or [latest] if batch.next_offset > expected]
        replayed = lacking and 0 < lacking[0].start_offset - expected <= LONGEST_REPLAY
        return [] if replayed else lacking
