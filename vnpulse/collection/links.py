"""What makes two links the same article."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

_TRACKING = re.compile(r"^(utm_.*|fbclid|gclid|gidzl|zarsrc|mc_[ce]id|ref)$", re.IGNORECASE)


def canonical_url(url: str) -> str:
    """Return ``url`` without what does not name the article: tracking, fragment, case of the host, the
    difference of http and https, "www." and a slash at the end. Text that is no URL is only stripped."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return url.strip()
    if parts.scheme not in ("http", "https") or not host:
        return url.strip()
    kept = sorted(
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _TRACKING.match(name)
    )
    place = host.removeprefix("www.") + (f":{port}" if port not in (None, 80, 443) else "")
    path = quote(unquote(parts.path), safe="/-._~!$&'()*+,;=:@").rstrip("/")
    return urlunsplit(("https", place, path, urlencode(kept), ""))


def news_id(url: str) -> str:
    """Return an article's id: the SHA-1 of its canonical link."""
    return hashlib.sha1(canonical_url(url).encode(), usedforsecurity=False).hexdigest()
