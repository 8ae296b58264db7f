"""What a source of prices or articles is, and how it fails.

::

    SourceError                 (retriable: asking again, later, may help)
    ├── SourceUnavailable       no answer, a slow one, or not the answer that was asked for
    ├── SourceBlocked           the source told us to stay away for a while (429, 403, a challenge)
    └── NothingThere            it answered that it has no such data; asking again does not help

A new source is one class with the methods of ``MarketSource`` or ``NewsSource``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vnpulse.errors import VnpulseError
from vnpulse.messages import NewsItem, PriceBar


class SourceError(VnpulseError):
    """A source did not deliver."""

    retriable = True


class SourceUnavailable(SourceError):
    """No usable answer."""


class SourceBlocked(SourceError):
    """We are asked to stay away, for ``retry_after_s`` seconds if the source said so."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NothingThere(SourceError):
    """There is no such data at this source."""

    retriable = False


@dataclass(frozen=True, slots=True)
class Board:
    """What a price board shows of n symbols, as columns.

    ``price``, ``open``, ``high``, ``low`` float64 [n]: the last match and the day so far, thousand VND,
    NaN where there is none. ``volume`` float64 [n]: shares matched today so far. ``time_ms`` int64 [n]:
    when the source last changed the row, epoch milliseconds, -1 if it does not say. ``asked_ms``: when
    the request went out, by our clock; what the answer shows had happened by then.
    """

    source: str
    asked_ms: int
    symbols: list[str]
    price: NDArray[np.float64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    volume: NDArray[np.float64]
    time_ms: NDArray[np.int64]


class MarketSource(Protocol):
    """A source of prices."""

    name: str

    def board(self, symbols: Sequence[str]) -> Board:
        """Return the board; symbols that the source does not know are left out. Raises SourceError."""

    def history(self, symbol: str, interval: str, first: dt.date, last: dt.date) -> list[PriceBar]:
        """Return the bars of the days ``first`` to ``last``, time ascending. Raises SourceError."""

    def close(self) -> None:
        """Let go of connections and processes."""


class NewsSource(Protocol):
    """A source of articles."""

    name: str

    def fetch(self) -> list[NewsItem]:
        """Return what is new or was edited since the last call that was confirmed. Raises SourceError."""

    def confirm(self) -> None:
        """The articles of the last ``fetch`` are safe; until then each fetch returns them again."""

    def dump(self) -> bytes:
        """Return what must be known to go on after a restart."""

    def load(self, state: bytes) -> None:
        """Go on from what ``dump`` returned."""

    def close(self) -> None:
        """Let go of connections and processes."""
