"""A site on loopback with feeds and pages, each answered as the test says. All texts were written here."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What one path answers with."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection in the middle of the body."""


class FeedServer:
    """``paths`` maps a path to its answer; ``seen`` holds the requests as (path, headers)."""

    def __init__(self) -> None:
        self.paths: dict[str, Answer | Callable[[Message], Answer]] = {}
        self.seen: list[tuple[str, Message]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append((self.path, self.headers))
                known = server.paths.get(self.path, Answer(status=404))
                answer = known(self.headers) if callable(known) else known
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)

            def log_message(self, *_: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def conditional(body: bytes, etag: str, modified: str) -> Callable[[Message], Answer]:
    """Answer 304 to who has this version."""

    def answer(headers: Message) -> Answer:
        validators = {"ETag": etag, "Last-Modified": modified}
        if headers["If-None-Match"] == etag or headers["If-Modified-Since"] == modified:
            return Answer(status=304, headers=validators)
        return Answer(body, headers=validators)

    return answer


def rss(*items: str, encoding: str = "utf-8", head: str | None = None) -> bytes:
    """Return an RSS 2.0 document of ``items`` (XML)."""
    declared = f'<?xml version="1.0" encoding="{encoding}"?>' if head is None else head
    text = f'{declared}<rss version="2.0"><channel><title>Chứng khoán</title>{"".join(items)}</channel></rss>'
    return text.encode(encoding)


def item(title: str, link: str, date: str = "Mon, 28 Jul 2025 09:05:00 +0700", summary: str = "") -> str:
    """Return one item; the description is HTML with a picture, as the feeds have it."""
    html = f'<a href="{link}"><img src="https://i.example/1.jpg"></a></br>{summary}' if summary else ""
    dated = f"<pubDate>{date}</pubDate>" if date else ""
    return (
        f"<item><title><![CDATA[{title}]]></title><link>{link.replace('&', '&amp;')}</link>{dated}"
        f"<description><![CDATA[{html}]]></description></item>"
    )


PUBLISHERS = {
    "vnexpress: an undeclared prefix, a picture before the text": (
        '<item><title>VCB tăng vốn</title><description><![CDATA[<a href="LINK"><img src="https://i.vn/a.jpg">'
        "</a></br>Vốn mới &amp; cổ tức.]]></description><pubDate>Mon, 28 Jul 2025 09:05:00 +0700</pubDate>"
        '<link>LINK</link><guid>LINK</guid><enclosure type="image/jpeg" length="1" url="https://i.vn/a.jpg"/>'
        "<slash:comments>3</slash:comments></item>"
    ),
    "cafef: a two-digit year": (
        "<item>\n<title><![CDATA[ VCB tăng vốn ]]></title>\n<link><![CDATA[LINK?fbclid=1]]></link>"
        '<description><![CDATA[<a href="x"><img width="140" src="https://i.vn/a.jpg" /></a>'
        "<span>Vốn mới &amp; cổ tức.</span>]]></description>"
        "<pubDate>Mon, 28 Jul 25 09:05:00 +0700</pubDate></item>"
    ),
    "vietstock: escaped markup, an American date": (
        "<item><title>VCB tăng vốn</title><link>LINK</link>"
        "<description>&lt;p&gt;&lt;img src='a'/&gt;Vốn mới&amp;nbsp;&amp;amp; cổ tức.&lt;/p&gt;</description>"
        "<pubDate>7/28/2025 9:05:00 AM</pubDate></item>"
    ),
    "vneconomy: the text apart, GMT+7, the link as guid": (
        '<item><guid isPermaLink="true">LINK</guid><title>VCB tăng vốn</title><description>x</description>'
        '<content:encoded xmlns:content="http://purl.org/rss/1.0/modules/content/">'
        "<![CDATA[<p>Vốn mới &amp; cổ tức.</p>]]></content:encoded>"
        "<pubDate>Mon, 28 Jul 2025 09:05:00 GMT+7</pubDate></item>"
    ),
}
"""Entries in the forms that the publishers of configs/sources.yaml give theirs, with texts of ours."""
