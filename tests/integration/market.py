"""Bars and articles as collectors would send them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable

from vnpulse.messages import VIETNAM, NewsItem, PriceBar, encode

OPENING = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)
"""Of continuous trading on HOSE, on a Monday; bars of the past are as good as bars of today."""


def minute(number: int) -> dt.datetime:
    """Return the opening time of the bar ``number`` of the test's day."""
    return OPENING + dt.timedelta(minutes=number)


def minute_ms(number: int) -> int:
    """Return the same as epoch milliseconds."""
    return int(minute(number).timestamp() * 1000)


def bar(symbol: str, number: int, close: float | None = None) -> PriceBar:
    """Return a closed minute bar; without ``close``, on a path that depends on ``number`` only."""
    if close is None:
        close = round(50 + 3 * math.sin(number / 5) + 0.01 * number, 2)
    return PriceBar(
        symbol=symbol,
        time=minute(number),
        open=close,
        high=round(close + 0.1, 2),
        low=round(close - 0.1, 2),
        close=close,
        volume=1000 + 10 * number,
        collected_at=minute(number + 1),
    )


def keyed(messages: Iterable[PriceBar | NewsItem]) -> list[tuple[str | None, bytes | None]]:
    """Return messages as (key, value) pairs to publish."""
    return [(message.symbol or "VNINDEX", encode(message)) for message in messages]


def article(
    news_id: str, symbol: str | None, title: str, content: str = "", at: dt.datetime | None = None
) -> NewsItem:
    """Return an article; published just now unless told otherwise, so that a restart still knows it."""
    at = at or dt.datetime.now(VIETNAM).replace(microsecond=0)
    return NewsItem(
        news_id=news_id,
        symbol=symbol,
        title=title,
        content=content,
        source="test",
        source_url=f"https://example.invalid/{news_id}",
        published_at=at,
        collected_at=at,
    )
