"""Fakes of what handlers talk to; all of them note what happened, in order, in one list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from vnpulse.batches import PartitionBatch


class Sent(NamedTuple):
    cause: int
    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: dict[str, str]


@dataclass
class Journal:
    """The order of effects, and the errors that the next effects of a kind meet."""

    events: list[str] = field(default_factory=list)
    errors: dict[str, list[Exception]] = field(default_factory=dict)

    def note(self, effect: str) -> None:
        waiting = self.errors.get(effect)
        if waiting:
            raise waiting.pop(0)
        if not self.events or self.events[-1] != effect:
            self.events.append(effect)


class FakeOutputs:
    """Keeps what is sent; publishing is the loop's business."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.sent: list[Sent] = []

    def send(
        self,
        cause: int,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        self._journal.note(f"send {topic}")
        self.sent.append(Sent(cause, topic, key, value, {name: text.decode() for name, text in headers}))

    def to(self, topic: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.topic == topic]


class FakePool:
    """Takes every batch and answers with where it ends, or with what ``expected`` says."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.batches: list[Any] = []
        self.expected: Callable[[Any], int | None] = lambda batch: batch.next_offset

    def update(self, batches: Sequence[Any]) -> list[int | None]:
        self._journal.note("analyzers")
        self.batches += batches
        return [self.expected(batch) for batch in batches]


class FakeStore:
    """Keeps what is written."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.written: list[Any] = []

    def write(self, batches: Iterable[Any]) -> None:
        self._journal.note("store")
        self.written += batches


def _records(
    values: Sequence[bytes | None], topic: str, partition: int = 0, start: int = 0, first: int | None = None
) -> PartitionBatch:
    """Return one batch from offset ``start`` whose first record lies at ``first``."""
    first = start if first is None else first
    offsets = np.arange(first, first + len(values), dtype=np.int64)
    return PartitionBatch(
        topic=topic,
        partition=partition,
        start_offset=start,
        next_offset=first + len(values),
        values=list(values),
        keys=[f"key{i}".encode() for i in range(len(values))],
        offsets=offsets,
        timestamps=offsets + 1_753_668_000_000,
    )


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def outputs(journal: Journal) -> FakeOutputs:
    return FakeOutputs(journal)


@pytest.fixture
def pool(journal: Journal) -> FakePool:
    return FakePool(journal)


@pytest.fixture
def store(journal: Journal) -> FakeStore:
    return FakeStore(journal)


@pytest.fixture(scope="session")
def records() -> Callable[..., PartitionBatch]:
    return _records
