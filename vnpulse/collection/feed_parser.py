"""RSS and Atom, well-formed or not: from bytes to entries."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, NamedTuple

import feedparser

from vnpulse.collection.feed_dates import parse_date
from vnpulse.collection.sources import SourceUnavailable
from vnpulse.sentiment.text import clean

CONTENT_CHARACTERS = 20_000
"""As much of an entry's HTML as is read; articles are shorter, and cleaning more costs seconds."""

TITLE_CHARACTERS = 2_000

_DECLARED = re.compile(rb"^\s*(<\?xml[^>]*?)\s+encoding\s*=\s*[\"'][^\"']*[\"']", re.IGNORECASE)


class Entry(NamedTuple):
    """One entry of a feed: text without HTML; ``published`` is None where the feed gives no usable date."""

    title: str
    link: str
    content: str
    published: dt.datetime | None
    category: str | None


def parse_feed(name: str, body: bytes) -> list[Entry]:
    """Return the entries of a feed in its order; broken XML gives those before (and, often, after) the break.

    Raises SourceUnavailable for what is no feed.
    """
    feed = feedparser.parse(_as_declared(body), sanitize_html=False, resolve_relative_uris=False)
    if not feed.get("version") and not feed.entries:
        raise SourceUnavailable(f"{name}: what came is no feed: {clean(_beginning(body))[:80]!r}")
    return [_entry(entry) for entry in feed.entries]


def _beginning(body: bytes) -> str:
    return body[:400].decode("utf-8", "replace")


def _as_declared(body: bytes) -> bytes:
    """Take the encoding out of the declaration of a body that is UTF-8 whatever it declares: bytes that
    decode as UTF-8 and are not ASCII are UTF-8, and a wrong declaration would garble every title."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body
    return _DECLARED.sub(rb"\1", text.encode(), count=1)


def _entry(entry: Any) -> Entry:
    bodies = [part.get("value", "") for part in entry.get("content", ())]
    summary = entry.get("summary", "")
    raw = max([summary, *bodies], key=len)
    link = entry.get("link") or (entry.get("id", "") if entry.get("id", "").startswith("http") else "")
    # Past feedparser's own look-up, which takes one of these for another.
    dates = (dict.get(entry, field) for field in ("published", "updated", "created"))
    published = next((moment for date in dates if date and (moment := parse_date(date))), None)
    tags = [tag.get("term") for tag in entry.get("tags", ()) if tag.get("term")]
    return Entry(
        title=clean(entry.get("title", "")[:TITLE_CHARACTERS]).replace("\n", " "),
        link=link.strip(),
        content=clean(raw[:CONTENT_CHARACTERS]),
        published=published,
        category=clean(tags[0])[:100] if tags else None,
    )
