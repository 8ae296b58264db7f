"""Group storage-consumers: raw records are checked, stored, handed to the analyzers, and announced."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from vnpulse.batches import BarBatch, NewsBatch, PartitionBatch
from vnpulse.clock import Clock
from vnpulse.decoding import Rejection, decode_bars, decode_news
from vnpulse.ids import derived_id
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.messages import (
    INTERVAL_MS,
    VIETNAM,
    AnalysisTrigger,
    NewsItem,
    OffsetRange,
    TriggerMetadata,
    TriggerType,
    encode,
)
from vnpulse.store.bars import BarStore
from vnpulse.store.news import NewsStore
from vnpulse.streaming.analyzer_pool import UpdatePool


class _RawHandler:
    """What prices and news have in common: reject, announce, and the order of effects.

    The order is store, analyzers, triggers, flush. The store comes first so that an analyzer that
    restarts in between finds there whatever a trigger may ask it about.
    """

    def __init__(
        self, producer: StockKafkaProducer, dead_letters: DeadLetters, trigger_topic: str, clock: Clock
    ) -> None:
        self._producer = producer
        self._dead_letters = dead_letters
        self._trigger_topic = trigger_topic
        self._clock = clock
        self.counts: Counter[str] = Counter()

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``, durably."""
        self._dead_letters.send(batch, rejections, attempts)
        self._producer.flush()

    def close(self) -> None:
        """Send what is queued and let go of the broker."""
        self._producer.close()

    def _announce(
        self, kind: TriggerType, symbol: str, source: OffsetRange, event_time_ms: int, count: int
    ) -> None:
        trigger = AnalysisTrigger(
            trigger_id=derived_id(kind, symbol, source.topic, source.partition, source.first, source.last),
            symbol=symbol,
            trigger_type=kind,
            timestamp=dt.datetime.fromtimestamp(event_time_ms / 1000, VIETNAM),
            metadata=TriggerMetadata(data_count=count, sources=[source]),
        )
        self._producer.send(self._trigger_topic, symbol, encode(trigger))


class PriceHandler(_RawHandler):
    """Bars: one bulk write, one call a technical shard, one trigger a symbol and partition."""

    def __init__(
        self,
        store: BarStore,
        technical: UpdatePool[BarBatch],
        producer: StockKafkaProducer,
        dead_letters: DeadLetters,
        trigger_topic: str,
        clock: Clock,
        analysed_intervals: Sequence[str],
    ) -> None:
        super().__init__(producer, dead_letters, trigger_topic, clock)
        self._store = store
        self._technical = technical
        self._analysed_intervals = frozenset(analysed_intervals)

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Store the bars, update the technical analyzers, trigger analysis. See Handler."""
        now_ms = self._clock.now_ms()
        decoded: list[BarBatch] = []
        for batch in batches:
            bars, rejections = decode_bars(batch, now_ms)
            self._dead_letters.send(batch, rejections)
            self.counts["bars"] += len(bars)
            self.counts["rejected"] += len(rejections)
            decoded.append(bars)
        self._store.write(decoded)
        expected = self._technical.update(decoded)
        reached: dict[int, int] = {}
        for bars, offset in zip(decoded, expected, strict=True):
            if offset < bars.start_offset:
                reached[bars.partition] = offset
                continue
            reached[bars.partition] = bars.next_offset
            self._trigger(bars)
        self._producer.flush()
        return reached

    def _trigger(self, bars: BarBatch) -> None:
        stretches: dict[str, list[int]] = {}
        for code, offset, time_ms in zip(
            bars.codes.tolist(), bars.offsets.tolist(), bars.time_ms.tolist(), strict=True
        ):
            symbol, interval = bars.series[code]
            if interval not in self._analysed_intervals:
                continue
            end_ms = time_ms + INTERVAL_MS[interval]
            stretch = stretches.get(symbol)
            if stretch is None:
                stretches[symbol] = [offset, offset, end_ms, 1]
            else:
                stretch[1] = offset
                stretch[2] = max(stretch[2], end_ms)
                stretch[3] += 1
        for symbol, (first, last, event_time_ms, count) in stretches.items():
            source = OffsetRange(bars.topic, bars.partition, first, last)
            self._announce("price_update", symbol, source, event_time_ms, count)


class NewsHandler(_RawHandler):
    """Articles: the same, with the symbols that each one is about found here, once."""

    def __init__(
        self,
        store: NewsStore,
        sentiment: UpdatePool[NewsBatch],
        producer: StockKafkaProducer,
        dead_letters: DeadLetters,
        trigger_topic: str,
        clock: Clock,
        symbols_of: Callable[[NewsItem], tuple[str, ...]],
    ) -> None:
        super().__init__(producer, dead_letters, trigger_topic, clock)
        self._store = store
        self._sentiment = sentiment
        self._symbols_of = symbols_of

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Store the articles, update the sentiment analyzers, trigger analysis. See Handler."""
        now_ms = self._clock.now_ms()
        decoded: list[NewsBatch] = []
        for batch in batches:
            news, rejections = decode_news(batch, now_ms, self._symbols_of)
            self._dead_letters.send(batch, rejections)
            self.counts["articles"] += len(news)
            self.counts["rejected"] += len(rejections)
            decoded.append(news)
        self._store.write(decoded)
        expected = self._sentiment.update(decoded)
        reached: dict[int, int] = {}
        for news, offset in zip(decoded, expected, strict=True):
            if offset < news.start_offset:
                reached[news.partition] = offset
                continue
            reached[news.partition] = news.next_offset
            self._trigger(news)
        self._producer.flush()
        return reached

    def _trigger(self, news: NewsBatch) -> None:
        rows: Mapping[str, list[int]] = defaultdict(list)
        for row, symbols in enumerate(news.symbols):
            for symbol in symbols:
                rows[symbol].append(row)
        for symbol, of_symbol in rows.items():
            first, last = news.offsets[of_symbol[0]], news.offsets[of_symbol[-1]]
            published_ms = max(int(news.items[row].published_at.timestamp() * 1000) for row in of_symbol)
            source = OffsetRange(news.topic, news.partition, first, last)
            self._announce("news_update", symbol, source, published_ms, len(of_symbol))
