"""Outputs without transactions: at least once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vnpulse.kafka.progress import Progress, SoleProgress
from vnpulse.kafka.protocols import Producer
from vnpulse.streaming.outputs import Headers, Holding


class PlainOutputs:
    """Sends at once; ``publish`` flushes. What failed after that is sent again, with the same ids.

    See Outputs.
    """

    transactional = False

    def __init__(self, producer: Producer, progress: Progress | None = None) -> None:
        """``progress`` is that of the consumer which commits what caused the records."""
        self._producer = producer
        self._progress = progress or SoleProgress()

    @property
    def holding(self) -> Holding | None:
        """The consumer's. See Outputs."""
        return self._progress.holding

    def claim(self) -> None:
        """Do nothing: two consumers of one partition would repeat each other's work, harmlessly."""

    def send(
        self, cause: int, topic: str, key: str | bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Queue one record. See Outputs."""
        self._producer.send(topic, key, value, headers)

    def publish(self, offsets: Mapping[int, int]) -> Iterator[int]:
        """Flush, and then all partitions are done. See Outputs."""
        self._producer.flush()
        yield from offsets

    def discard(self) -> None:
        """Do nothing: what was sent is on its way."""

    def close(self) -> None:
        """Send what is queued and let go of the broker."""
        self._producer.close()
