"""Feeds over HTTP: each publisher's format, what is wrong with them, and how often they are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.collection.feed_server import PUBLISHERS, Answer, FeedServer, conditional, item, rss
from tests.unit.collection.conftest import BrokerAtHand, MemoryStates, ms
from vnpulse.clock import ManualClock
from vnpulse.collection.article_lead import ArticleLead
from vnpulse.collection.news_collector import NewsCollector
from vnpulse.collection.outbox import Outbox
from vnpulse.collection.rss import RssFeed
from vnpulse.collection.settings import FeedSettings
from vnpulse.collection.sources import SourceBlocked, SourceUnavailable
from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.messages import NewsItem
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.topics import NEWS

NOW = ms("2025-07-28T10:00:00")
VCB = "https://site.vn/vcb-tang-von.html"


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(follow_redirects=True, timeout=10, headers={"User-Agent": "vnpulse (test)"}) as client:
        yield client


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def feed(server: FeedServer, client: httpx2.Client, clock: ManualClock) -> RssFeed:
    settings = FeedSettings(name="feed", source="Báo", url=f"{server.url}/rss")
    return RssFeed(settings, client, 10, clock)


def fetched(feed: RssFeed, server: FeedServer, answer: Answer | bytes) -> list[NewsItem]:
    server.paths["/rss"] = Answer(answer) if isinstance(answer, bytes) else answer
    return feed.fetch()


def test_an_article_as_the_feed_gives_it(feed: RssFeed, server: FeedServer) -> None:
    body = rss(
        item("VCB công bố kế hoạch tăng vốn", f"{VCB}?utm_source=rss", summary="Lợi nhuận &amp; vốn tăng.")
    )
    (article,) = fetched(feed, server, body)
    assert article.title == "VCB công bố kế hoạch tăng vốn"
    assert article.content == "Lợi nhuận & vốn tăng."
    assert article.source == "Báo"
    assert article.source_url == VCB
    assert article.published_at.isoformat() == "2025-07-28T09:05:00+07:00"
    assert article.symbol is None
    finder = SymbolFinder.load(SentimentSettings().companies)
    assert finder.symbols_of(article) == ("VCB",)


@pytest.mark.parametrize("entry", PUBLISHERS.values(), ids=PUBLISHERS)
def test_the_forms_that_publishers_give_their_entries(feed: RssFeed, server: FeedServer, entry: str) -> None:
    (article,) = fetched(feed, server, rss(entry.replace("LINK", VCB)))
    assert (article.title, article.content, article.source_url) == ("VCB tăng vốn", "Vốn mới & cổ tức.", VCB)
    assert article.published_at.isoformat() == "2025-07-28T09:05:00+07:00"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(rss(item("Cổ phiếu thép tăng", VCB)), id="UTF-8"),
        pytest.param(
            rss(item("Cổ phiếu thép tăng", VCB), head='<?xml version="1.0" encoding="iso-8859-1"?>'),
            id="UTF-8 that says it is Latin-1",
        ),
        pytest.param(rss(item("Cổ phiếu thép tăng", VCB), head=""), id="no declaration"),
        pytest.param(
            b"\xef\xbb\xbf\n" + rss(item("Cổ phiếu thép tăng", VCB)), id="a mark and a blank line first"
        ),
        pytest.param(rss(item("Cổ phiếu thép tăng", VCB), encoding="utf-16"), id="UTF-16"),
        pytest.param(rss(item("Cổ phiếu thép tăng", VCB)).replace(b"</channel></rss>", b""), id="not closed"),
        pytest.param(
            rss(item("Cổ phiếu thép tăng", VCB), "<item><title>A & B</title><br></item>"), id="broken XML"
        ),
        pytest.param(rss(item("Cổ phiếu\x0b thép\x00 tăng", VCB)), id="characters that XML forbids"),
        pytest.param(
            (
                '<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><entry>'
                f'<title>Cổ phiếu thép tăng</title><link href="{VCB}"/>'
                "<updated>2025-07-28T02:05:00Z</updated></entry></feed>"
            ).encode(),
            id="Atom",
        ),
    ],
)
def test_the_headline_survives(feed: RssFeed, server: FeedServer, body: bytes) -> None:
    answer = Answer(body, headers={"Content-Type": "text/xml; charset=us-ascii"})
    articles = fetched(feed, server, answer)
    assert ("Cổ phiếu thép tăng", VCB) in [(a.title, a.source_url) for a in articles]


@pytest.mark.parametrize(
    ("date", "published", "count"),
    [
        ("7/28/2025 8:37:00 AM", "2025-07-28T08:37", None),
        ("Mon, 28 Jul 25 08:37:00 +0700", "2025-07-28T08:37", None),
        pytest.param(
            "Mon, 28 Jul 2025 09:58:00 GMT", "2025-07-28T10:00", "date_in_future", id="a zone that lies"
        ),
        pytest.param("", "2025-07-28T10:00", "date_missing", id="none"),
        pytest.param("soon", "2025-07-28T10:00", "date_missing", id="words"),
        pytest.param("Sat, 01 Jan 1994 00:00:00 GMT", "2025-07-28T10:00", "date_too_old", id="too old"),
    ],
)
def test_dates_that_are_wrong_become_when_it_was_first_seen(
    feed: RssFeed, server: FeedServer, clock: ManualClock, date: str, published: str, count: str | None
) -> None:
    (article,) = fetched(feed, server, rss(item("Tin", VCB, date)))
    assert f"{article.published_at:%Y-%m-%dT%H:%M}" == published
    assert feed.counts[count or "date_missing"] == (1 if count else 0)
    feed.confirm()
    clock.advance(3_600_000)
    (edited,) = fetched(feed, server, rss(item("Tin, bản sửa", VCB, date)))
    assert (edited.news_id, f"{edited.published_at:%Y-%m-%dT%H:%M}") == (article.news_id, published)


def test_what_was_confirmed_does_not_come_again_and_an_edit_does(feed: RssFeed, server: FeedServer) -> None:
    body = rss(item("Một", VCB, summary="a"), item("Hai", "https://site.vn/2"))
    assert len(fetched(feed, server, body)) == 2
    assert len(fetched(feed, server, body)) == 2, "not confirmed yet"
    feed.confirm()
    assert fetched(feed, server, body) == []
    feed.confirm()
    (edited,) = fetched(feed, server, rss(item("Một", VCB, summary="b"), item("Hai", "https://site.vn/2")))
    assert (edited.title, edited.content) == ("Một", "b")
    assert feed.counts["edited"] == 1


def test_requests_are_conditional_also_after_a_restart(
    feed: RssFeed, server: FeedServer, client: httpx2.Client, clock: ManualClock
) -> None:
    server.paths["/rss"] = conditional(rss(item("Một", VCB)), '"v1"', "Mon, 28 Jul 2025 01:00:00 GMT")
    assert len(feed.fetch()) == 1
    feed.confirm()
    again = RssFeed(FeedSettings(name="feed", source="Báo", url=f"{server.url}/rss"), client, 10, clock)
    again.load(feed.dump())
    assert again.fetch() == []
    assert again.counts["not_modified"] == 1
    headers = server.seen[-1][1]
    assert headers["If-None-Match"] == '"v1"'
    assert headers["User-Agent"] == "vnpulse (test)"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(status=500), SourceUnavailable, "feed: 500"),
        (Answer(status=404), SourceUnavailable, "feed: 404"),
        (
            Answer(b"<html><body>B\xe1\xba\xa3o tr\xc3\xac</body></html>"),
            SourceUnavailable,
            "no feed.*Bảo trì",
        ),
        (Answer(b"\x00\x01\x02" * 100), SourceUnavailable, "no feed"),
        (Answer(b""), SourceUnavailable, "no feed"),
        (Answer(rss(item("x", VCB)), cut=True), SourceUnavailable, "RemoteProtocolError"),
        (Answer(b"x" * 9_000_000), SourceUnavailable, "larger than 8 MiB"),
    ],
)
def test_what_is_no_feed_is_one_line(
    feed: RssFeed, server: FeedServer, answer: Answer, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fetched(feed, server, answer)


def test_a_feed_that_sends_us_away_says_for_how_long(feed: RssFeed, server: FeedServer) -> None:
    with pytest.raises(SourceBlocked) as blocked:
        fetched(feed, server, Answer(status=429, headers={"Retry-After": "120"}))
    assert blocked.value.retry_after_s == 120


def test_a_page_of_5_mb_and_markup_made_to_be_slow_survive(feed: RssFeed, server: FeedServer) -> None:
    hostile = item("Thù địch", "https://site.vn/3", summary="<script" * 50_000)
    many = [item(f"Tin {i}", f"https://site.vn/t{i}", summary="nội dung " * 130) for i in range(4_000)]
    body = rss(hostile, *many)
    assert len(body) > 5_000_000
    articles = fetched(feed, server, body)
    assert {"Thù địch", "Tin 0", "Tin 3999"} <= {article.title for article in articles}


def test_entities_that_unfold_without_end_do_not(feed: RssFeed, server: FeedServer) -> None:
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 10}">' for i in range(12))
    head = f'<?xml version="1.0"?><!DOCTYPE rss [{bomb}]>'
    body = rss("<item><title>&e11;</title><link>https://site.vn/b</link></item>", head=head)
    server.paths["/rss"] = Answer(body)
    try:
        articles = feed.fetch()
    except SourceUnavailable:
        articles = []
    assert all(len(article.title) <= 2_000 for article in articles)


def test_a_lead_is_fetched_only_where_robots_allow_and_the_feed_gave_nothing(
    server: FeedServer, client: httpx2.Client, clock: ManualClock
) -> None:
    settings = FeedSettings(name="feed", source="Báo", url=f"{server.url}/rss", lead=True)
    feed = RssFeed(settings, client, 10, clock, ArticleLead(client, "vnpulse (test)"))
    text = "Ngân hàng công bố kế hoạch tăng vốn trong năm nay. " * 30
    page = f"<html><body><article><p>{text}</p></article></body></html>"
    for path in ("/open/1", "/closed/1"):
        server.paths[path] = Answer(page.encode(), headers={"Content-Type": "text/html; charset=utf-8"})
    server.paths["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /closed/\n")
    server.paths["/rss"] = Answer(
        rss(
            item("Mở", f"{server.url}/open/1"),
            item("Đóng", f"{server.url}/closed/1"),
            item("Có tóm tắt", f"{server.url}/open/2", summary="Tóm tắt."),
        )
    )
    contents = {article.title: article.content for article in feed.fetch()}
    assert contents["Mở"].startswith("Ngân hàng công bố kế hoạch tăng vốn trong năm nay.")
    assert len(contents["Mở"]) <= 500
    assert contents["Mở"].endswith(".")
    assert contents["Đóng"] == ""
    assert contents["Có tóm tắt"] == "Tóm tắt."
    assert [path for path, _ in server.seen] == ["/rss", "/robots.txt", "/open/1"]


@pytest.fixture
def make_collector(
    server: FeedServer, client: httpx2.Client, clock: ManualClock
) -> Callable[[BrokerAtHand, MemoryStates], NewsCollector]:
    def make(broker: BrokerAtHand, states: MemoryStates) -> NewsCollector:
        feeds = [
            FeedSettings(name=name, source="Báo", url=f"{server.url}/{name}", every_s=300)
            for name in ("a", "b")
        ]
        outbox = Outbox(broker, DeadLetters(PlainOutputs(broker), "collector"), KafkaSettings(), clock)  # type: ignore[arg-type]
        sources = [(RssFeed(feed, client, 10, clock), float(feed.every_s)) for feed in feeds]
        return NewsCollector(sources, outbox, states, clock, jitter=lambda: 0.5)  # type: ignore[arg-type]

    return make


def test_each_feed_is_asked_on_its_own_schedule_and_a_failing_one_ever_more_seldom(
    server: FeedServer,
    clock: ManualClock,
    make_collector: Callable[[BrokerAtHand, MemoryStates], NewsCollector],
) -> None:
    server.paths["/a"] = Answer(rss(item("Một", VCB)))
    server.paths["/b"] = Answer(status=500)
    broker, states = BrokerAtHand(), MemoryStates()
    collector = make_collector(broker, states)
    while (due := collector.step()) < NOW + 3_600_000:
        clock.advance(due - clock.now_ms())
    asked = [path for path, _ in server.seen]
    assert asked.count("/a") == 12
    assert asked.count("/b") == 4
    assert [n.title for n in broker.messages(NEWS, NewsItem)] == ["Một"]
    status = collector.status()
    assert status["error"] == ""
    assert "1 of 2 sources answer (b: 500" in status["remark"]
    # A restart asks nobody early, and sends nothing again.
    requests = len(server.seen)
    again = make_collector(broker, states)
    again.step()
    assert [path for path, _ in server.seen[requests:]] in ([], ["/b"])
    assert len(broker.log) == 1


def test_while_the_broker_is_away_nobody_is_asked_and_then_each_article_comes_once(
    server: FeedServer, make_collector: Callable[[BrokerAtHand, MemoryStates], NewsCollector]
) -> None:
    server.paths["/a"] = Answer(rss(item("Một", VCB)))
    broker = BrokerAtHand()
    broker.failures = [BrokerUnavailable("away"), BrokerUnavailable("away")]
    collector = make_collector(broker, MemoryStates())
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            collector.step()
    assert [path for path, _ in server.seen] == ["/a"]
    collector.step()
    assert [path for path, _ in server.seen] == ["/a", "/b"]
    assert [n.title for n in broker.messages(NEWS, NewsItem)] == ["Một"]


def test_an_article_that_consumers_would_refuse_is_counted_and_kept_with_its_reason(
    server: FeedServer, make_collector: Callable[[BrokerAtHand, MemoryStates], NewsCollector], tmp_path: Path
) -> None:
    server.paths["/a"] = Answer(rss(item("", VCB), item("Tốt", "https://site.vn/2")))
    broker = BrokerAtHand()
    collector = make_collector(broker, MemoryStates())
    collector.step()
    assert [n.title for n in broker.messages(NEWS, NewsItem)] == ["Tốt"]
    (letter,) = [headers for topic, _, _, headers in broker.log if topic == f"{NEWS}_dlq"]
    assert (letter["reason"], letter["component"]) == ("wrong-type", "collector")
    assert collector.status()["counts"]["rejected_wrong-type"] == 1
    assert "Expected `str` of length >= 1" in collector.status()["last"]
