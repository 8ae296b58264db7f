"""Bars of opening auctions: nothing is computed from them, but every closed bar gets its result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vnpulse.batches import BarBatch, Series
from vnpulse.messages import OffsetRange
from vnpulse.technical import layout

KEPT = 64
"""Of each series: several days of an auction of a quarter of an hour."""


class AuctionBar(NamedTuple):
    """Where a closed bar of an auction lies in the log, and its close in thousand VND."""

    series: Series
    time_ms: int
    close: float
    partition: int
    offset: int
    append_ms: int


class AuctionBars:
    """The last closed bars of opening auctions of each series; a later record of a time replaces one."""

    def __init__(self) -> None:
        self._bars: dict[Series, dict[int, AuctionBar]] = {}

    def note(self, batch: BarBatch, status: NDArray[np.int8]) -> None:
        """Remember the rows of ``batch`` that the engine put aside; ``status`` is what it returned."""
        for row in np.flatnonzero((status == layout.AUCTION) & batch.closed).tolist():
            series = batch.series[batch.codes[row]]
            bar = AuctionBar(
                series,
                int(batch.time_ms[row]),
                float(batch.prices[row, 3]),
                batch.partition,
                int(batch.offsets[row]),
                int(batch.append_ms[row]),
            )
            known = self._bars.setdefault(series, {})
            known[bar.time_ms] = bar
            if len(known) > KEPT:
                del known[min(known)]

    def within(self, series: Series, sources: Iterable[OffsetRange]) -> list[AuctionBar]:
        """Return the bars of ``series`` whose records lie in ``sources``."""
        known = self._bars.get(series)
        if not known:
            return []
        stretches = list(sources)
        return [
            bar
            for bar in known.values()
            if any(s.partition == bar.partition and s.first <= bar.offset <= s.last for s in stretches)
        ]
