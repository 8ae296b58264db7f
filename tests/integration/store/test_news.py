"""NewsStore on a real server."""

from __future__ import annotations

import dataclasses
import datetime as dt

import msgspec

from tests.integration.market import OPENING, article
from vnpulse.batches import NewsBatch
from vnpulse.messages import NewsItem, RecordRef, encode
from vnpulse.store.news import NewsStore

APPENDED_MS = 1_753_700_000_000
"""Does not fit 32 bits: the store has a type of its own for such numbers."""


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


def batch(items: list[NewsItem], *, partition: int = 0, start: int = 0) -> NewsBatch:
    n = len(items)
    return NewsBatch(
        topic="news",
        partition=partition,
        start_offset=start,
        next_offset=start + n,
        items=items,
        symbols=[(item.symbol or "VNINDEX",) for item in items],
        offsets=list(range(start, start + n)),
        append_ms=[APPENDED_MS + i for i in range(n)],
    )


def test_an_article_is_read_back_as_it_was_written(news: NewsStore) -> None:
    item = msgspec.structs.replace(
        article("n1", "VCB", "Lãi kỷ lục", "Nội dung", OPENING),
        category="earnings",
        tags=["ngân hàng", "VCB"],
    )
    news.write([batch([item], partition=3, start=12)])
    assert list(news.recent_news(0)) == [(item, ("VCB",), 3, 12, APPENDED_MS)]


def test_an_edit_replaces_the_article(news: NewsStore) -> None:
    news.write([batch([article("n1", "VCB", "first", at=OPENING)])])
    news.write([batch([article("n1", "FPT", "second", at=OPENING)], start=1)])
    ((item, symbols, _, offset, _),) = news.recent_news(0)
    assert (item.title, symbols, offset) == ("second", ("FPT",), 1)


def test_within_one_batch_the_last_version_counts(news: NewsStore) -> None:
    versions = [article("n1", "VCB", f"version {i}", at=OPENING) for i in range(3)]
    news.write([batch(versions)])
    assert [found[0].title for found in news.recent_news(0)] == ["version 2"]


def test_writing_again_changes_nothing(news: NewsStore) -> None:
    written = [batch([article(f"n{i}", "VCB", "title", at=OPENING) for i in range(5)])]
    news.write(written)
    before = list(news.recent_news(0))
    news.write(written)
    assert list(news.recent_news(0)) == before
    assert news.stored_through("news") == {0: 5}


def test_recent_news_is_what_the_broker_got_since_by_publication(news: NewsStore) -> None:
    times = [OPENING + dt.timedelta(hours=h) for h in (5, 1, 3, -2)]
    items = [article(f"n{i}", "VCB", "title", at=t) for i, t in enumerate(times)]
    earlier, later = batch(items[:1]), batch(items[1:], start=1)
    news.write([earlier, dataclasses.replace(later, append_ms=[APPENDED_MS + 50] * 3)])
    assert news.newest_append_ms() == APPENDED_MS + 50
    assert [found[0].news_id for found in news.recent_news(APPENDED_MS + 1)] == ["n3", "n1", "n2"]
    assert [found[0].news_id for found in news.recent_news(0)] == ["n3", "n1", "n2", "n0"]
    assert news.ids_since(ms(times[2])) == {"n0", "n2"}
    assert news.ids_since(0) == {"n0", "n1", "n2", "n3"}


def test_progress_never_goes_back_and_is_kept_by_partition(news: NewsStore) -> None:
    news.write([batch([article("n1", "VCB", "title", at=OPENING)], partition=1, start=9)])
    news.write([batch([article("n2", "VCB", "title", at=OPENING)], partition=1, start=3)])
    news.write([batch([], partition=2, start=5)])
    assert news.stored_through("news") == {1: 10, 2: 5}
    assert news.stored_through("elsewhere") == {}


def test_what_is_read_back_can_be_put_into_a_message(news: NewsStore) -> None:
    news.write([batch([article("n1", "VCB", "title", at=OPENING)])])
    ((item, _, partition, offset, append_ms),) = news.recent_news(0)
    assert (
        msgspec.json.decode(encode(RecordRef("news", partition, offset, append_ms)))["timestamp"]
        == APPENDED_MS
    )
    assert encode(item)
    assert {
        type(number) for number in (partition, offset, append_ms, *news.stored_through("news").values())
    } == {int}
