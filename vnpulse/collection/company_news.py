"""Company news of vnstock as a NewsSource: one request a symbol, spread over the period."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec

from vnpulse.clock import Clock
from vnpulse.collection.feed_dates import parse_date
from vnpulse.collection.feed_parser import CONTENT_CHARACTERS, TITLE_CHARACTERS
from vnpulse.collection.remembering import RememberingSource
from vnpulse.collection.sources import NothingThere
from vnpulse.collection.vnstock_process import VnstockProcess
from vnpulse.messages import VIETNAM, NewsItem
from vnpulse.sentiment.text import clean

SOURCE = "Vietcap"
"""Whose service VCI is; an article names its own origin where the answer has it."""

REMEMBERED_ARTICLES = 5_000


class _State(msgspec.Struct):
    following: int = 0
    known: dict[str, str] = {}


class CompanyNews(RememberingSource[_State]):
    """Each ``fetch`` asks for the next symbol in turn; ids are ``vci:ID``, HTML is removed.

    The next symbol's turn comes when the articles about this one are confirmed.
    """

    def __init__(self, symbols: Sequence[str], process: VnstockProcess, clock: Clock) -> None:
        """``symbols``: at least one."""
        super().__init__(_State())
        self.name = "company-news"
        self.counts: Counter[str] = Counter()
        self._symbols = list(symbols)
        self._process = process
        self._clock = clock

    def fetch(self) -> list[NewsItem]:
        """Return new and edited articles about the next symbol. Raises SourceUnavailable or SourceBlocked."""
        turn = self._state.following % len(self._symbols)
        symbol = self._symbols[turn]
        known = dict(self._state.known)
        items = []
        try:
            columns = self._process.call("news", "VCI", symbol=symbol)
        except NothingThere:
            columns = {}
        now = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, VIETNAM)
        for row in range(len(columns.get("id", ()))):

            def field(name: str, row: int = row) -> str:
                value = columns[name][row] if name in columns else None
                return "" if value is None else str(value)

            title = clean(field("news_title")[:TITLE_CHARACTERS]).replace("\n", " ")
            body = field("news_full_content") or field("news_short_content")
            content = clean(body[:CONTENT_CHARACTERS])
            identity = f"vci:{field('id')}"
            digest = hashlib.sha1(f"{title}\n{content}".encode(), usedforsecurity=False).hexdigest()
            if known.pop(identity, None) == digest:
                known[identity] = digest
                continue
            known[identity] = digest
            self.counts["new"] += 1
            items.append(
                NewsItem(
                    news_id=identity,
                    symbol=symbol,
                    title=title,
                    content=content,
                    source=field("news_source") or SOURCE,
                    source_url=field("news_source_link"),
                    published_at=parse_date(field("public_date")) or now,
                    collected_at=now,
                    category="company",
                )
            )
        self._unconfirmed = _State(turn + 1, dict(list(known.items())[-REMEMBERED_ARTICLES:]))
        return sorted(items, key=lambda item: item.published_at)

    def close(self) -> None:
        """End the process."""
        self._process.close()
