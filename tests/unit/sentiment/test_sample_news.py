from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

import vnpulse
from vnpulse.messages import VIETNAM, NewsItem
from vnpulse.sentiment.lexicon import Lexicon
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.sentiment.text import article_text

SAMPLE = Path(vnpulse.__file__).parent / "demo" / "data" / "news.jsonl"
ITEMS = [msgspec.json.decode(line, type=NewsItem) for line in SAMPLE.read_bytes().splitlines()]


def test_every_article_says_that_it_is_a_sample() -> None:
    assert len(ITEMS) >= 115
    for number, item in enumerate(ITEMS, 1):
        assert item.news_id == f"sample-{number:03d}"
        assert item.source == "vnpulse sample"
        assert item.source_url == f"https://example.org/vnpulse-sample/{number:03d}"
        assert item.content.endswith("(Tin mẫu của vnpulse)")
        assert "sample" in item.tags
        assert item.category


def test_they_come_in_order_within_the_three_days() -> None:
    times = [item.published_at for item in ITEMS]
    assert times == sorted(times)
    assert times[0] >= dt.datetime(2025, 7, 28, 8, tzinfo=VIETNAM)
    assert times[-1] <= dt.datetime(2025, 7, 30, 15, 30, tzinfo=VIETNAM)


def test_each_symbol_of_the_sample_has_an_article_and_none_is_unknown() -> None:
    finder = SymbolFinder.load(SentimentSettings().companies)
    named = {symbol for item in ITEMS for symbol in finder.symbols_of(item)}
    assert len(named) >= 48
    assert {item.symbol for item in ITEMS if item.symbol} <= named <= set(finder.companies)


def test_the_lexicon_sees_good_bad_and_neutral_news() -> None:
    lexicon = Lexicon.load(SentimentSettings().lexicon)
    labels = [c.label for c in lexicon.classify([article_text(i.title, i.content) for i in ITEMS])]
    assert all(labels.count(label) >= 25 for label in ("negative", "neutral", "positive"))
