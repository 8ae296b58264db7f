"""The first sentences of an article's page, for feeds that give none, where robots.txt allows it."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import httpx2

from vnpulse.errors import UserError
from vnpulse.sentiment.text import clean

log = logging.getLogger(__name__)

LEAD_CHARACTERS = 500
LARGEST_PAGE_BYTES = 3_145_728


class ArticleLead:
    """Callable with an article's link. Answers with nothing where it may not, or cannot, read the page.

    robots.txt is read once a site and process; a site without one allows everything, one that does not
    answer for it allows nothing (RFC 9309, 2.3.1).
    """

    def __init__(self, client: httpx2.Client, user_agent: str) -> None:
        """Raises UserError without the package trafilatura."""
        try:
            import trafilatura
        except ImportError:
            raise UserError(
                "lead: true needs trafilatura: pip install 'vnpulse[articles]', or remove it"
            ) from None
        self._extract = trafilatura.extract
        self._client = client
        self._user_agent = user_agent
        self._rules: dict[str, RobotFileParser] = {}

    def __call__(self, link: str) -> str:
        """Return at most LEAD_CHARACTERS of the article, whole sentences where there are any."""
        try:
            if not self._allowed(link):
                return ""
            page = self._page(link)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            log.info("lead of %s: %s", link, error)
            return ""
        text = clean(self._extract(page, include_comments=False, include_tables=False) or "")
        return _beginning(text)

    def _page(self, link: str) -> bytes:
        body = bytearray()
        with self._client.stream("GET", link) as response:
            response.raise_for_status()
            for part in response.iter_bytes():
                body += part
                if len(body) > LARGEST_PAGE_BYTES:
                    return b""
        return bytes(body)

    def _allowed(self, link: str) -> bool:
        parts = urlsplit(link)
        site = f"{parts.scheme}://{parts.netloc}"
        rules = self._rules.get(site)
        if rules is None:
            rules = self._rules[site] = RobotFileParser()
            answer = self._client.get(f"{site}/robots.txt")
            if answer.status_code == 200:
                rules.parse(answer.text.splitlines())
            elif 400 <= answer.status_code < 500:
                rules.parse([])
            # Otherwise it stays unread, and an unread one allows nothing.
        return rules.can_fetch(self._user_agent, link)


def _beginning(text: str) -> str:
    if len(text) <= LEAD_CHARACTERS:
        return text
    cut = text[:LEAD_CHARACTERS]
    end = max(cut.rfind(mark) for mark in (". ", "\n", "! ", "? "))
    return cut[: end + 1].strip() if end > 0 else cut.rsplit(" ", 1)[0]
