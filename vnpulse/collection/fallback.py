"""Several sources of prices behind one: the first that answers, and a record of who that was."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from vnpulse.clock import Clock
from vnpulse.collection.pace import CircuitBreaker
from vnpulse.collection.sources import (
    Board,
    MarketSource,
    NothingThere,
    SourceBlocked,
    SourceError,
    SourceUnavailable,
)
from vnpulse.messages import PriceBar

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class FallbackMarket:
    """A MarketSource made of others, asked in order; each has a circuit breaker of its own.

    The first that may be asked and answers delivers. Who does is ``active``; each change is logged
    and counted under ``switches``, failures under ``failed_NAME``.
    """

    def __init__(self, sources: Sequence[MarketSource], clock: Clock) -> None:
        """``sources``: at least one, the preferred one first."""
        self.name = "+".join(source.name for source in sources)
        self.active = sources[0].name
        self.last_error = ""
        self.counts: Counter[str] = Counter()
        self._guarded = [(source, CircuitBreaker(clock)) for source in sources]

    def board(self, symbols: Sequence[str]) -> Board:
        """Return the board of the first source that answers. Raises SourceError."""
        return self._ask(lambda source: source.board(symbols))

    def history(self, symbol: str, interval: str, first: dt.date, last: dt.date) -> list[PriceBar]:
        """Return the bars of the first source that has them. Raises SourceError."""
        return self._ask(lambda source: source.history(symbol, interval, first, last))

    def _ask(self, question: Callable[[MarketSource], _T]) -> _T:
        nothing: NothingThere | None = None
        troubles: list[str] = []
        for source, breaker in self._guarded:
            if not breaker.allows:
                troubles.append(f"{source.name} is left alone for {breaker.closes_in_s:.0f} s")
                continue
            try:
                answer = question(source)
            except NothingThere as error:
                breaker.succeeded()
                nothing = nothing or error
                continue
            except SourceBlocked as error:
                breaker.blocked(error.retry_after_s)
                self._note(source.name, error, troubles)
                continue
            except SourceError as error:
                breaker.failed()
                self._note(source.name, error, troubles)
                continue
            breaker.succeeded()
            self._delivered_by(source.name)
            return answer
        if nothing is not None and not troubles:
            raise nothing
        raise SourceUnavailable("; ".join(troubles))

    def _note(self, name: str, error: SourceError, troubles: list[str]) -> None:
        self.counts[f"failed_{name}"] += 1
        self.last_error = str(error)
        troubles.append(str(error))
        log.info("%s", error)

    def _delivered_by(self, name: str) -> None:
        if name != self.active:
            log.warning("prices now come from %s instead of %s", name, self.active)
            self.counts["switches"] += 1
            self.active = name

    def close(self) -> None:
        """Close every source."""
        for source, _ in self._guarded:
            source.close()
