"""The Analyzer contract: what an analysis must offer to take part.

``update`` is cheap and keeps state; ``analyze`` is what a trigger asks for. Technical and
sentiment analysis are two implementations; a third is a class and a line of configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from vnpulse.batches import BarBatch
from vnpulse.messages import AnalysisResult, AnalysisType, NewsItem, OffsetRange

LONGEST_REPLAY = 10_000
"""Records of a partition that an analyzer asks for again when it has missed them; what lies before more than
that it reads from the store. To load the symbols of one partition of ten takes as long as to store so
many records once more: about a second. Without a bound, a slow analyzer of a busy partition would have
ever more stored again."""


class AnalysisRequest(msgspec.Struct, frozen=True):
    """Coalesced triggers of one symbol.

    With ``sources`` the analyzer answers with one result for each closed bar (or article) in
    these stretches of the log, so what comes out depends on the log and not on how triggers
    happened to be batched. Without, it answers with one result for the latest state, whose id
    derives from ``request_id``.
    """

    symbol: str
    request_id: str
    sources: tuple[OffsetRange, ...] = ()


class Analyzer(Protocol):
    """Keeps state per symbol from raw batches and answers requests from it.

    State is soft: after a restart ``start`` rebuilds it from the store up to the offset that the
    store has seen, and the log brings the rest. Both calls are idempotent: a batch that was
    already applied changes nothing, and a request asked twice gives results with the same ids.

    Nobody waits to hand a batch over, so ``analyze`` may be asked about records that ``update`` has
    not seen. They are in the store, which is written first: the analyzer loads them from there.
    """

    analysis_type: AnalysisType

    def start(self) -> None:
        """Load state from the store. Must be called before anything else; may be called again."""

    def update(self, batch: Any) -> int:
        """Apply ``batch`` and return the next offset expected of its partition.

        A batch that starts later than expected is not applied; the caller seeks back to the
        returned offset. If it starts more than LONGEST_REPLAY later, it is, and what lies between is
        loaded from the store. Offsets below the expected one are ignored.
        """

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        """Return the results for ``requests``, in order of symbol and event time."""


class BarHistory(Protocol):
    """Where an analyzer of bars reads its warm-up from."""

    def latest_bars(
        self, intervals: Sequence[str], count: int, wanted: Callable[[str], bool] | None = None
    ) -> Iterator[BarBatch]:
        """Yield the last ``count`` stored bars of each series, time ascending within a series.

        Of all symbols, or of those that are ``wanted``.
        ``offsets`` are those of the raw records, -1 for bars that did not come through Kafka.
        A batch holds bars of one raw partition (``topic`` "" and ``partition`` -1 for the latter).
        """

    def symbols(self, intervals: Sequence[str]) -> set[str]:
        """Return the symbols that may have bars of these intervals; none that has is missing."""

    def stored_through(self, topic: str) -> dict[int, int]:
        """Return, by partition, the next raw offset that has not been stored yet."""


class NewsHistory(Protocol):
    """Where an analyzer of articles reads its warm-up from."""

    def newest_append_ms(self) -> int | None:
        """Return when the broker got the newest stored article, epoch milliseconds; None without any."""

    def recent_news(self, since_ms: int) -> Iterator[tuple[NewsItem, tuple[str, ...], int, int, int]]:
        """Yield (article, symbols, partition, offset, append_ms) of what the broker got since
        ``since_ms``, by time of publication."""

    def stored_through(self, topic: str) -> dict[int, int]:
        """Return, by partition, the next raw offset that has not been stored yet."""
