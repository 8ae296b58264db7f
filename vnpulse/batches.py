"""Batches as columns: what moves between the transport, the store and the analyzers.

Every batch says which stretch of the log it covers, ``start_offset <= offset < next_offset``.
That stretch may be longer than its rows: rejected records, transaction markers and records that
retention removed leave holes, and a consumer must not mistake a hole for a loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vnpulse.messages import NewsItem


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """Records of one partition as the broker holds them, n rows in offset order.

    ``values`` and ``keys`` are lists of n bytes (or None); ``offsets`` int64 [n];
    ``timestamps`` int64 [n], epoch milliseconds of the append. ``headers`` holds, by row, the
    headers of those rows that have any.
    """

    topic: str
    partition: int
    start_offset: int
    next_offset: int
    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    headers: Mapping[int, dict[str, bytes]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


class Series(NamedTuple):
    """What one stream of bars is: a symbol at an interval ("1m", "1d")."""

    symbol: str
    interval: str


@dataclass(frozen=True, slots=True)
class BarBatch:
    """Valid bars of one partition, n rows in offset order.

    ``series`` lists the distinct series of the batch and ``codes`` int32 [n] points into it.
    ``time_ms`` int64 [n]: opening time, epoch milliseconds. ``prices`` float64 [n, 4]: open,
    high, low, close in thousand VND. ``volume`` float64 [n]: shares. ``closed`` bool [n]: the
    bar was collected after its end and is final. ``offsets``, ``append_ms`` int64 [n].
    """

    topic: str
    partition: int
    start_offset: int
    next_offset: int
    series: list[Series]
    codes: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    prices: NDArray[np.float64]
    volume: NDArray[np.float64]
    closed: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    append_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, rows: NDArray[np.int64]) -> BarBatch:
        """Return a batch of the same stretch with some of the rows, in their order."""
        return replace(
            self,
            codes=self.codes[rows],
            time_ms=self.time_ms[rows],
            prices=self.prices[rows],
            volume=self.volume[rows],
            closed=self.closed[rows],
            offsets=self.offsets[rows],
            append_ms=self.append_ms[rows],
        )

    def nothing_at(self, offset: int) -> BarBatch:
        """Return a batch of the same partition that covers nothing, at ``offset``."""
        return replace(self.rows(np.empty(0, np.int64)), start_offset=offset, next_offset=offset)


@dataclass(frozen=True, slots=True)
class NewsBatch:
    """Valid articles of one partition, in offset order; ``symbols[i]`` are those ``items[i]`` is about."""

    topic: str
    partition: int
    start_offset: int
    next_offset: int
    items: list[NewsItem]
    symbols: list[tuple[str, ...]]
    offsets: list[int]
    append_ms: list[int]

    def __len__(self) -> int:
        return len(self.items)

    def nothing_at(self, offset: int) -> NewsBatch:
        """Return a batch of the same partition that covers nothing, at ``offset``."""
        return NewsBatch(self.topic, self.partition, offset, offset, [], [], [], [])
