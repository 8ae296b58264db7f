"""Which series the store holds bars of, and over which days.

One document an interval. The bars themselves could answer this, but not cheaply: neither a
``distinct`` nor the newest of all days is read off an index everywhere, and on SecantusDB both
scan every bucket (1.2 s each with 14,000 of them, when one series is read in 6 ms).

Nothing here need be exact, only complete: a symbol without bars, as a writer leaves that died
between the two writes, costs a query that finds nothing, and a day too early or too late one more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.collection import Collection

from vnpulse.batches import Series
from vnpulse.store.connection import Document

_COMPLETE = "complete"
"""Id of a document that says: bars of before there was a directory are in it too."""


class Span(NamedTuple):
    """The symbols of an interval, ascending, and the first and last bucket day (ISO dates) of any of them."""

    symbols: list[str]
    first_day: str
    last_day: str


class SeriesDirectory:
    """Keeps one Span an interval. Never behind the bars: ``include`` comes before they are written.

    Several processes may write at once: every change only adds, and can be repeated.
    """

    def __init__(self, spans: Collection[Document]) -> None:
        self._spans = spans
        self._included: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))

    def include(self, places: Iterable[tuple[Series, str]]) -> None:
        """Note on which days bars of a series will be; writes only what is new to this process."""
        touched: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        for (symbol, interval), day in places:
            touched[interval][0].add(symbol)
            touched[interval][1].add(day)
        updates = []
        for interval, (symbols, days) in touched.items():
            known_symbols, known_days = self._included[interval]
            if not (symbols <= known_symbols and days <= known_days):
                updates.append(_update(interval, symbols - known_symbols, days))
        if not updates:
            return
        self._spans.bulk_write(updates, ordered=False)
        for interval, (symbols, days) in touched.items():
            self._included[interval][0].update(symbols)
            self._included[interval][1].update(days)

    def span(self, interval: str) -> Span | None:
        """Return what is held of ``interval``; None if nothing is."""
        document = self._spans.find_one({"_id": interval})
        if document is None:
            return None
        return Span(sorted(document["symbols"]), document["first_day"], document["last_day"])

    def complete(self, bars: Collection[Document]) -> None:
        """Add, once, what ``bars`` has from before there was a directory. Idempotent."""
        if self._spans.find_one({"_id": _COMPLETE}) is not None:
            return
        updates = []
        for interval in bars.distinct("interval"):
            ends = [
                bars.find_one({"interval": interval}, {"day": 1}, sort=[("day", order)])
                for order in (ASCENDING, DESCENDING)
            ]
            days = {end["day"] for end in ends if end is not None}
            updates.append(_update(interval, set(bars.distinct("symbol", {"interval": interval})), days))
        # In this order: who finds the last finds the others.
        said = UpdateOne({"_id": _COMPLETE}, {"$set": {"symbols": []}}, upsert=True)
        self._spans.bulk_write([*updates, said], ordered=True)


def _update(interval: str, symbols: set[str], days: set[str]) -> UpdateOne:
    return UpdateOne(
        {"_id": interval},
        {
            "$addToSet": {"symbols": {"$each": sorted(symbols)}},
            "$min": {"first_day": min(days)},
            "$max": {"last_day": max(days)},
        },
        upsert=True,
    )
