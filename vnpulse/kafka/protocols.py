"""What the rest asks of a consumer and of a producer, whatever client library they are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from vnpulse.batches import PartitionBatch


class Consumer(Protocol):
    """A consumer of assigned partitions; the contract is AssignedConsumer's."""

    topic: str

    @property
    def positions(self) -> dict[int, int]: ...
    def poll(self, timeout_ms: int) -> list[PartitionBatch]: ...
    def seek(self, partition: int, offset: int) -> None: ...
    def commit(self, offsets: Mapping[int, int]) -> None: ...
    def beginning_offsets(self) -> dict[int, int]: ...
    def end_offsets(self) -> dict[int, int]: ...
    def observe_fetches(self, seconds: Callable[[float], None]) -> None: ...
    def close(self) -> None: ...


class Producer(Protocol):
    """A producer; the contract is StockKafkaProducer's."""

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
        on_append: Callable[[int, int, int], None] | None = None,
    ) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
