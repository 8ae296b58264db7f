"""The sentiment analyzer: what the recent articles about a symbol say, the newest counting most.

The score of a symbol as of an article published at ``t`` is the mean of the article scores
``s_i`` with weights ``w_i = p_i * 0.5 ** ((t - t_i) / half_life)``, over the articles published
up to ``t``; ``p_i`` is how much of the article is about the symbol (vnpulse/sentiment/prominence.py).
The confidence is ``certainty * (1 - spread) * W / (W + 1)``: the weighted mean of the
probabilities of the labels given, one less the weighted standard deviation of the scores
(articles that disagree), and the evidence ``W = sum(w_i)`` (one fresh article about nothing else
gives a half).
"""

from __future__ import annotations

import bisect
import datetime as dt
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vnpulse.analysis import LONGEST_REPLAY, AnalysisRequest, NewsHistory
from vnpulse.batches import NewsBatch
from vnpulse.ids import derived_id
from vnpulse.messages import (
    VIETNAM,
    AnalysisResult,
    AnalysisType,
    NewsItem,
    RecordRef,
    ResultBody,
    ResultMetadata,
)
from vnpulse.sentiment.classification import LABELS, Classification, SentimentModel
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.sentiment.text import article_text, clean

ARTICLES_SHOWN = 5
"""Most articles that a result lists; the count says how many it rests on."""

TEXTS_A_READING = 64
"""Most texts that the model is given at once; between readings the analyzer says that it gets on."""

CACHE_ENTRIES = 8_192
"""Classifications kept by text: agencies' texts appear in many papers. About 8 MB."""

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


@dataclass(slots=True, eq=False)
class _Article:
    """One version of an article. An edit is a later version with the same ``news_id``."""

    item: NewsItem
    symbols: tuple[str, ...]
    partition: int
    offset: int
    append_ms: int
    published_ms: int
    weights: Mapping[str, float]
    """Prominence by symbol, also of symbols that another shard answers for."""
    classification: Classification | None = None
    edit: _Article | None = None
    held_by: int = 0
    """In how many symbols' histories it is; at none it is forgotten."""

    def prominence(self, symbol: str) -> float:
        """How much of the article is about ``symbol``, in (0, 1]."""
        return self.weights.get(symbol, 1.0)

    def order(self) -> tuple[int, int, int]:
        return (self.published_ms, self.partition, self.offset)

    def seen_at(self, moment: _Article) -> bool:
        """Whether this version was published and in the log when ``moment`` was appended.

        The log decides, so an answer does not depend on how far it had been read when it was
        asked for: offsets within a partition, the broker's append times between partitions
        (articles that name several symbols come by the partition of the first).
        """
        if self.published_ms > moment.published_ms:
            return False
        if self.partition == moment.partition:
            return self.offset <= moment.offset
        return self.append_ms <= moment.append_ms

    def counts_at(self, moment: _Article) -> bool:
        """Whether this version was known then, and no edit of it."""
        if not self.seen_at(moment):
            return False
        later = self.edit
        while later is not None:
            if later.seen_at(moment):
                return False
            later = later.edit
        return True


@dataclass(slots=True)
class _Counters:
    articles: int = 0
    edits: int = 0
    duplicates: int = 0
    skipped: int = 0
    gaps: int = 0
    catch_ups: int = 0
    classified: int = 0
    cache_hits: int = 0
    results: int = 0


@dataclass(slots=True)
class _State:
    """Everything that ``start`` rebuilds."""

    expected: dict[int, int] = field(default_factory=dict)
    latest: dict[str, _Article] = field(default_factory=dict)
    histories: dict[str, list[_Article]] = field(default_factory=dict)


class SentimentAnalyzer:
    """An ``Analyzer`` (see vnpulse/analysis.py) of articles. All state is soft.

    Hard state is elsewhere: articles in the store, offsets in the consumer group. Memory holds
    at most ``history_articles`` articles a symbol. Reading with the model is put off until an
    analysis needs an article, and then done in one batch for all requests of the call. Not
    thread-safe: one actor, one call at a time.
    """

    analysis_type: AnalysisType = "sentiment"

    def __init__(
        self,
        settings: SentimentSettings,
        model: SentimentModel,
        history: NewsHistory,
        topic: str,
        weights_of: Callable[[NewsItem], Mapping[str, float]],
        progressed: Callable[[], None] = lambda: None,
    ) -> None:
        """``topic`` is the news topic on the cluster; ``weights_of`` gives an article's prominence
        by symbol (``SymbolFinder.weights_of``); ``progressed`` is called while a long call gets on."""
        self._settings = settings
        self._progressed = progressed
        self._weights_of = weights_of
        self._model = model
        self._history = history
        self._topic = topic
        self._half_life_ms = settings.half_life_minutes * _MINUTE_MS
        self._state = _State()
        self._cache: OrderedDict[bytes, Classification] = OrderedDict()
        self._counters = _Counters()

    def start(self) -> None:
        """Forget everything, then load articles from the store: the last ``warmup_days`` of the log.

        By when the broker got them, and counted from the newest, so that every article that may
        still wait for its analysis is there, in a replay of last year as in a live market. On an error of
        the store the old state stays.
        """
        before = self._state
        try:
            # Offsets first: what is stored meanwhile comes twice, which changes nothing; the other
            # way round it would come never.
            self._state = _State(expected=dict(self._history.stored_through(self._topic)))
            newest_ms = self._history.newest_append_ms()
            if newest_ms is None:
                return
            since_ms = newest_ms - self._settings.warmup_days * _DAY_MS
            for item, symbols, partition, offset, append_ms in self._history.recent_news(since_ms):
                self._add(item, symbols, partition, offset, append_ms)
        except Exception:
            # Or its offsets would say that the articles that were not read are there.
            self._state = before
            raise

    def update(self, batch: NewsBatch) -> int:
        """Apply ``batch`` and return the next offset expected of its partition.

        Idempotent. A batch that starts beyond the expected offset is not applied, unless the gap is not
        to be replayed: then everything is loaded anew first. Of a partition never seen, the batch's own
        start is accepted. Raises ValueError for a batch
        of another topic.
        """
        if batch.topic != self._topic:
            raise ValueError(f"topic was {batch.topic!r}, must be {self._topic!r}")
        expected = self._state.expected.get(batch.partition, batch.start_offset)
        if batch.start_offset > expected:
            self._counters.gaps += 1
            if batch.start_offset - expected <= LONGEST_REPLAY:
                return expected
            self.start()
            expected = batch.start_offset
        for item, symbols, offset, append_ms in zip(
            batch.items, batch.symbols, batch.offsets, batch.append_ms, strict=True
        ):
            if offset >= expected:
                self._add(item, symbols, batch.partition, offset, append_ms)
            else:
                self._counters.skipped += 1
        expected = self._state.expected[batch.partition] = max(expected, batch.next_offset)
        return expected

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[AnalysisResult]:
        """Return the results for ``requests``, by symbol, then event time.

        With sources: one result for each article of the symbol in those stretches of the log,
        as of that article. Without: one for the newest article, or none if there is no article.
        An article that the bounded history has dropped gives no result.
        """
        began = time.perf_counter()
        self._catch_up(requests)
        wanted: dict[str, tuple[str, _Article, list[_Article]]] = {}
        for request in requests:
            history = self._state.histories.get(request.symbol)
            if not history:
                continue
            if request.sources:
                moments = [
                    article
                    for article in history
                    if any(
                        source.topic == self._topic
                        and source.partition == article.partition
                        and source.first <= article.offset <= source.last
                        for source in request.sources
                    )
                ]
                for moment in moments:
                    result_id = derived_id(
                        "sentiment", request.symbol, self._topic, moment.partition, moment.offset
                    )
                    if result_id not in wanted:
                        counted = [a for a in history if a is moment or a.counts_at(moment)]
                        wanted[result_id] = (request.symbol, moment, counted)
                continue
            current = [article for article in history if article.edit is None]
            if current:
                result_id = derived_id("sentiment", request.symbol, request.request_id)
                wanted[result_id] = (request.symbol, current[-1], current)
        self._classify([article for _, _, articles in wanted.values() for article in articles])
        ordered = sorted(wanted.items(), key=lambda entry: (entry[1][0], entry[1][1].order(), entry[0]))
        bodies = [self._body(symbol, moment, articles) for _, (symbol, moment, articles) in ordered]
        # The model reads for all of them at once, so each bears an equal share of the time.
        share = round((time.perf_counter() - began) / len(ordered), 6) if ordered else 0.0
        self._counters.results += len(ordered)
        return [
            AnalysisResult(
                result_id=result_id,
                symbol=symbol,
                analysis_type=self.analysis_type,
                timestamp=moment.item.published_at.astimezone(VIETNAM),
                results=body,
                metadata=ResultMetadata(
                    model_version=self._model.version,
                    processing_time=share,
                    source=RecordRef(self._topic, moment.partition, moment.offset, moment.append_ms),
                ),
            )
            for (result_id, (symbol, moment, _)), body in zip(ordered, bodies, strict=True)
        ]

    def _catch_up(self, requests: Sequence[AnalysisRequest]) -> None:
        """Load what is asked about and stored, and was not handed over (see Analyzer)."""
        expected = self._state.expected
        ahead = [
            (source.partition, source.last)
            for request in requests
            for source in request.sources
            if source.topic == self._topic and source.last >= expected.get(source.partition, 0)
        ]
        if ahead:
            stored = self._history.stored_through(self._topic)
            if any(last < stored.get(partition, 0) for partition, last in ahead):
                self._counters.catch_ups += 1
                self.start()

    def counters(self) -> dict[str, int]:
        """Return what happened since construction, and how many articles are held now."""
        counts = {name: getattr(self._counters, name) for name in _Counters.__slots__}
        return counts | {"held": sum(map(len, self._state.histories.values()))}

    def symbols(self) -> list[str]:
        """Return the symbols that articles are held of, sorted."""
        return sorted(self._state.histories)

    def _add(
        self, item: NewsItem, symbols: tuple[str, ...], partition: int, offset: int, append_ms: int
    ) -> None:
        known = self._state.latest.get(item.news_id)
        if known is not None and _says_the_same(known, item, symbols):
            self._counters.duplicates += 1
            if known.offset < 0 <= offset:
                # The store knew it before the log did; now it has a place in the log.
                known.partition, known.offset, known.append_ms = partition, offset, append_ms
                for symbol in known.symbols:
                    self._state.histories.get(symbol, []).sort(key=_Article.order)
            return
        published_ms = round(item.published_at.timestamp() * 1000)
        weights = self._weights_of(item)
        article = _Article(item, symbols, partition, offset, append_ms, published_ms, weights)
        if known is not None:
            known.edit = article
            self._counters.edits += 1
        else:
            self._counters.articles += 1
        self._state.latest[item.news_id] = article
        for symbol in symbols:
            history = self._state.histories.setdefault(symbol, [])
            bisect.insort(history, article, key=_Article.order)
            article.held_by += 1
            if len(history) > self._settings.history_articles:
                self._release(history.pop(0))
        if not article.held_by:
            self._forget(article)

    def _release(self, article: _Article) -> None:
        article.held_by -= 1
        if article.held_by == 0:
            self._forget(article)

    def _forget(self, article: _Article) -> None:
        if self._state.latest.get(article.item.news_id) is article:
            del self._state.latest[article.item.news_id]

    def _classify(self, articles: Sequence[_Article]) -> None:
        """Read what has not been read, each distinct text once, in one batch."""
        unread: dict[bytes, list[_Article]] = {}
        texts: dict[bytes, str] = {}
        for article in articles:
            if article.classification is not None:
                continue
            text = self._text(article.item)
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            cached = self._cache.get(key)
            if cached is not None:
                self._cache.move_to_end(key)
                self._counters.cache_hits += 1
                article.classification = cached
            else:
                unread.setdefault(key, []).append(article)
                texts[key] = text
        if not texts:
            return
        keys = list(texts)
        for start in range(0, len(keys), TEXTS_A_READING):
            some = keys[start : start + TEXTS_A_READING]
            for key, answer in zip(some, self._model.classify([texts[key] for key in some]), strict=True):
                for article in unread[key]:
                    article.classification = answer
                self._cache[key] = answer
            self._counters.classified += len(some)
            self._progressed()
        while len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)

    def _text(self, item: NewsItem) -> str:
        return article_text(item.title, item.content if self._model.reads == "article" else "")

    def _body(self, symbol: str, moment: _Article, articles: Sequence[_Article]) -> ResultBody:
        weights = [
            a.prominence(symbol) * 0.5 ** ((moment.published_ms - a.published_ms) / self._half_life_ms)
            for a in articles
        ]
        answers = [a.classification for a in articles if a.classification is not None]
        weighed = list(zip(weights, answers, strict=True))
        total = math.fsum(weights)
        score = math.fsum(w * c.score for w, c in weighed) / total
        variance = math.fsum(w * (c.score - score) ** 2 for w, c in weighed) / total
        certainty = math.fsum(w * max(c.probabilities) for w, c in weighed) / total
        spread = min(1.0, math.sqrt(variance))
        confidence = certainty * (1 - spread) * total / (total + 1)
        by_weight = sorted(
            zip(articles, answers, weights, strict=True),
            key=lambda row: (row[0] is not moment, -row[2], row[0].order()),
        )
        details: dict[str, Any] = {
            "articles": [_shown(a, c, w, self._model.version) for a, c, w in by_weight[:ARTICLES_SHOWN]],
            "count": len(articles),
            "evidence": round(total, 4),
            "disagreement": round(spread, 4),
            "half_life_minutes": self._settings.half_life_minutes,
        }
        return ResultBody(
            score=round(min(1.0, max(-1.0, score)), 6),
            confidence=round(min(1.0, max(0.0, confidence)), 6),
            details=details,
        )


def _says_the_same(known: _Article, item: NewsItem, symbols: tuple[str, ...]) -> bool:
    """Whether an article is the one known, whatever a collector noted besides its content."""
    old = known.item
    return (
        old.title == item.title
        and old.content == item.content
        and _utc(old.published_at) == _utc(item.published_at)
        and known.symbols == symbols
    )


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)


def _shown(article: _Article, answer: Classification, weight: float, reader: str) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "news_id": article.item.news_id,
        "title": clean(article.item.title),
        "reader": answer.reader or reader,
        "label": answer.label,
        "score": round(answer.score, 4),
        "weight": round(weight, 4),
        # One result for each of these, with this prominence.
        "symbols": {symbol: article.prominence(symbol) for symbol in (article.weights or article.symbols)},
        "probabilities": {label: round(p, 4) for label, p in zip(LABELS, answer.probabilities, strict=True)},
    }
    if answer.phrases:
        shown["phrases"] = [[phrase.text, phrase.value] for phrase in answer.phrases]
    return shown
