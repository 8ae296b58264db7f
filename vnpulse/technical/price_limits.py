"""The day's floor and ceiling of a symbol, and whether its price is locked at one of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vnpulse.market import Exchange, MarketRules

_SAME_PRICE = 1e-6
"""Thousand VND: far below the smallest tick."""


class PriceLimits:
    """Price limits by the market's rules."""

    def __init__(self, market: MarketRules, exchange_of: Mapping[str, Exchange]) -> None:
        self._market = market
        self._exchange_of = {
            symbol: exchange for symbol, exchange in exchange_of.items() if symbol not in market.indices
        }
        # Decimals are exact and slow, and a reference price holds for a day.
        self._bounds = lru_cache(maxsize=65_536)(market.price_limits)

    def of(self, symbol: str, close: float, average: float, price: float) -> dict[str, Any] | None:
        """Return reference, floor, ceiling and what ``price`` is locked at: "floor", "ceiling" or None.

        ``close`` and ``average`` (by volume) are those of the trading day before; all in thousand
        VND. None for a symbol without limits or of an unknown exchange, and where ``price`` lies
        outside of them: then they were not these, as on a first or an ex-rights day.
        """
        exchange = self._exchange_of.get(symbol)
        if exchange is None:
            return None
        reference = average if self._market.exchanges[exchange].reference == "average" else close
        if not reference > 0:
            return None
        # An average lies between ticks, and so do the prices of a history adjusted for dividends.
        reference = self._market.round_to_tick(exchange, reference)
        floor, ceiling = self._bounds(exchange, reference)
        if not floor - _SAME_PRICE <= price <= ceiling + _SAME_PRICE:
            return None
        locked = None
        if price >= ceiling - _SAME_PRICE:
            locked = "ceiling"
        elif price <= floor + _SAME_PRICE:
            locked = "floor"
        return {"reference": reference, "floor": floor, "ceiling": ceiling, "locked": locked}
