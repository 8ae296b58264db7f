"""What the rest asks of a consumer and of a producer, whatever client library they are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from vnpulse.streaming.loop import Source


class Consumer(Source, Protocol):
    """A consumer of assigned partitions; the contract is AssignedConsumer's."""

    def beginning_offsets(self) -> dict[int, int]: ...
    def end_offsets(self) -> dict[int, int]: ...
    def observe_fetches(self, seconds: Callable[[float], None]) -> None: ...


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
