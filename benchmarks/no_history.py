"""A store that holds nothing, for analyzers that begin with nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vnpulse.batches import BarBatch


class NoHistory:
    """What an analyzer asks of the store, of bars and of articles."""

    def latest_bars(
        self, intervals: Sequence[str], count: int, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[BarBatch]:
        return iter(())

    def symbols(self, intervals: Sequence[str]) -> set[str]:
        return set()

    def stored_through(self, topic: str) -> dict[int, int]:
        return {}

    def newest_append_ms(self) -> int | None:
        return None

    def recent_news(self, since_ms: int) -> Iterator[Any]:
        return iter(())
