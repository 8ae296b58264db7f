"""What handlers send, and how it becomes durable together with the offsets that caused it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

Headers = Iterable[tuple[str, bytes]]


class Holding(Protocol):
    """What is committed for a handler that reads further than it is done, and what was."""

    def hold(self, partition: int, offset: int | None, note: str) -> None:
        """Until it is said otherwise, commit ``note`` for ``partition``, and no offset beyond ``offset``."""

    def found(self, partition: int) -> tuple[int, str]:
        """Return the offset and the note that were committed when ``partition`` was taken up last."""


class Outputs(Protocol):
    """The way of one consumer's records to the broker; vnpulse.kafka has a plain and a transactional one.

    A handler only sends, and names the partition whose records are the cause. The loop publishes
    when the handler is done, or discards when it failed.
    """

    transactional: bool
    """Whether ``publish`` commits the offsets too; else the loop does, through its source."""

    @property
    def holding(self) -> Holding | None:
        """How less is committed than was read; None where several loops share the partitions."""

    def claim(self) -> None:
        """Become the only one who can publish for these partitions. Does nothing the second time."""

    def send(
        self, cause: int, topic: str, key: str | bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Queue one record, caused by records of partition ``cause``."""

    def publish(self, offsets: Mapping[int, int]) -> Iterator[int]:
        """Make what was sent durable and yield each partition of ``offsets`` when its part is.

        ``offsets`` are, by partition, the next to read. Raises the first failure after the other
        partitions have had their turn; what belongs to those not yielded must be sent again.
        Raises PartitionTaken if somebody else has claimed a partition since, and StartOver if it
        cannot be known what became of a part.
        """

    def discard(self) -> None:
        """Forget what was sent and not published, as far as that is possible."""

    def close(self) -> None:
        """Let go of the broker; what was not published is discarded."""
