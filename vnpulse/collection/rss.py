"""One feed as a NewsSource: conditional requests, articles by link, edits by content."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx2
import msgspec

from vnpulse.clock import Clock
from vnpulse.collection.feed_parser import Entry, parse_feed
from vnpulse.collection.links import canonical_url, news_id
from vnpulse.collection.remembering import RememberingSource
from vnpulse.collection.settings import FeedSettings
from vnpulse.collection.sources import SourceBlocked, SourceUnavailable
from vnpulse.decoding import FIRST_SESSION, FUTURE_TOLERANCE_MS
from vnpulse.messages import VIETNAM, NewsItem

LARGEST_FEED_BYTES = 8_388_608
"""The feeds that are known have 10 to 300 kB; what is larger than this is no feed of headlines."""

REMEMBERED_ARTICLES = 2_000
"""Far more than a feed shows at once: an article that is still shown is never taken for a new one."""

BLOCKING_STATUSES = frozenset({401, 403, 429, 503})


class _Known(msgspec.Struct):
    """An article that was sent: the hash of its content, and when it counts as published (epoch ms)."""

    digest: str
    published_ms: int


class _State(msgspec.Struct):
    etag: str = ""
    last_modified: str = ""
    known: dict[str, _Known] = {}


class RssFeed(RememberingSource[_State]):
    """Fetches one feed and returns the articles that are new or were edited since they were confirmed.

    An article is its canonical link. Its date is the feed's; without a usable one, or with one ahead of
    our clock (a zone that lies), it is when we first saw it, and stays that.
    """

    def __init__(
        self,
        settings: FeedSettings,
        client: httpx2.Client,
        timeout_s: float,
        clock: Clock,
        lead_of: Callable[[str], str] | None = None,
    ) -> None:
        """``lead_of`` returns an article's first sentences by its link, or nothing."""
        super().__init__(_State())
        self.name = settings.name
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._client = client
        self._timeout_s = timeout_s
        self._clock = clock
        self._lead_of = lead_of

    def fetch(self) -> list[NewsItem]:
        """Return new and edited articles, oldest first. Raises SourceUnavailable or SourceBlocked."""
        self._unconfirmed = None
        response, body = self._get()
        if response.status_code == 304:
            self.counts["not_modified"] += 1
            return []
        now_ms = self._clock.now_ms()
        known = dict(self._state.known)
        items: dict[str, NewsItem] = {}
        for entry in parse_feed(self.name, body):
            # Without a link, the headline is all that names it.
            identity = news_id(entry.link or f"{self.name} {entry.title}")
            digest = hashlib.sha1(
                f"{entry.title}\n{entry.content}".encode(), usedforsecurity=False
            ).hexdigest()
            before = known.pop(identity, None)  # to the end: what is shown is forgotten last
            if before is not None and before.digest == digest:
                known[identity] = before
                continue
            self.counts["edited" if before else "new"] += 1
            published_ms = self._published_ms(entry, before, now_ms)
            known[identity] = _Known(digest, published_ms)
            items[identity] = self._item(identity, entry, published_ms, now_ms)
        self._unconfirmed = _State(
            etag=response.headers.get("ETag", ""),
            last_modified=response.headers.get("Last-Modified", ""),
            known=dict(list(known.items())[-REMEMBERED_ARTICLES:]),
        )
        return sorted(items.values(), key=lambda item: item.published_at)

    def _get(self) -> tuple[httpx2.Response, bytes]:
        headers = {"Accept": "application/rss+xml, application/atom+xml, application/xml;q=0.9, */*;q=0.5"}
        if self._state.etag:
            headers["If-None-Match"] = self._state.etag
        if self._state.last_modified:
            headers["If-Modified-Since"] = self._state.last_modified
        # The client's timeout is for each step; a server that drips would stretch it for ever.
        give_up_at = time.monotonic() + self._timeout_s
        body = bytearray()
        try:
            with self._client.stream("GET", self._settings.url, headers=headers) as response:
                if response.status_code in BLOCKING_STATUSES:
                    raise SourceBlocked(
                        f"{self.name}: {response.status_code} {response.reason_phrase}",
                        retry_after_s(response.headers.get("Retry-After"), self._clock.now_ms()),
                    )
                if response.status_code not in (200, 304):
                    raise SourceUnavailable(f"{self.name}: {response.status_code} {response.reason_phrase}")
                for part in response.iter_bytes():
                    body += part
                    if len(body) > LARGEST_FEED_BYTES:
                        raise SourceUnavailable(f"{self.name}: larger than {LARGEST_FEED_BYTES >> 20} MiB")
                    if time.monotonic() > give_up_at:
                        raise SourceUnavailable(f"{self.name}: not all there after {self._timeout_s:g} s")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise SourceUnavailable(f"{self.name}: {type(error).__name__}: {error}") from None
        return response, bytes(body)

    def _published_ms(self, entry: Entry, before: _Known | None, now_ms: int) -> int:
        if entry.published is not None:
            published_ms = int(entry.published.timestamp() * 1000)
            if entry.published < FIRST_SESSION:
                self.counts["date_too_old"] += 1
            elif published_ms > now_ms + FUTURE_TOLERANCE_MS:
                self.counts["date_in_future"] += 1
            else:
                return published_ms
        else:
            self.counts["date_missing"] += 1
        return before.published_ms if before is not None else now_ms

    def _item(self, identity: str, entry: Entry, published_ms: int, now_ms: int) -> NewsItem:
        content = entry.content
        if self._lead_of is not None and entry.link and not content:
            content = self._lead_of(entry.link)
        return NewsItem(
            news_id=identity,
            symbol=None,  # which ones it is about is found in its text, as for any article
            title=entry.title,
            content=content,
            source=self._settings.source,
            source_url=canonical_url(entry.link) if entry.link else "",
            published_at=dt.datetime.fromtimestamp(published_ms / 1000, VIETNAM),
            collected_at=dt.datetime.fromtimestamp(now_ms / 1000, VIETNAM),
            category=self._settings.category or entry.category,
        )

    def close(self) -> None:
        """The client belongs to who made it."""


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Return what a Retry-After header asks for, in seconds or as a date; None if it says nothing."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_ms / 1000)
    except (ValueError, TypeError):
        return None
