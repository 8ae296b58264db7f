"""Group storage-consumers: raw records are checked, stored, handed to the analyzers, and announced."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from vnpulse.batches import BarBatch, NewsBatch, PartitionBatch
from vnpulse.clock import Clock
from vnpulse.decoding import Decode, Rejection, decode_bar, decode_bars, decode_news, decode_news_item
from vnpulse.ids import derived_id
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import (
    INTERVAL_MS,
    VIETNAM,
    AnalysisTrigger,
    Encode,
    NewsItem,
    OffsetRange,
    PriceBar,
    TriggerMetadata,
    TriggerType,
    encode,
)
from vnpulse.streaming.analyzer_pool import UpdatePool
from vnpulse.streaming.outputs import Outputs
from vnpulse.streaming.untaken import RawBatch, Untaken

_Batch_contra = TypeVar("_Batch_contra", BarBatch, NewsBatch, contravariant=True)


class Writes(Protocol[_Batch_contra]):
    """The store's side of a raw topic."""

    def write(self, batches: Sequence[_Batch_contra]) -> None:
        """Store the batches and how far they reach, durably and repeatably."""


class _RawHandler(ABC, Generic[RawBatch]):
    """What prices and news have in common: the order of effects.

    Store, analyzers, triggers, dead letters. The store comes first so that an analyzer that
    restarts in between, or has no time to take a batch, finds there whatever a trigger may ask it
    about: storing goes on whatever becomes of the analyzers. Dead letters come late so that an
    outage, which repeats all of this, does not multiply them. Records that come again because an
    analyzer lacks them are neither announced nor dead-lettered again.
    """

    def __init__(
        self,
        store: Writes[RawBatch],
        analyzers: UpdatePool[RawBatch],
        outputs: Outputs,
        dead_letters: DeadLetters,
        trigger_topic: str,
        clock: Clock,
        encode: Encode,
    ) -> None:
        self._encode = encode
        self._store: Writes[RawBatch] = store
        self._analyzers: UpdatePool[RawBatch] = analyzers
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._trigger_topic = trigger_topic
        self._clock = clock
        self._settled: dict[int, int] = {}
        self._untaken: dict[int, Untaken[RawBatch]] = {}
        self.counts: Counter[str] = Counter()

    @abstractmethod
    def _decode(self, batch: PartitionBatch, now_ms: int) -> tuple[RawBatch, list[Rejection]]: ...

    @abstractmethod
    def _trigger(self, decoded: RawBatch, first_offset: int) -> None:
        """Announce the records from ``first_offset`` on."""

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Store the records, update the analyzers, trigger analysis. See Handler."""
        now_ms = self._clock.now_ms()
        decoded, rejections = zip(*(self._decode(batch, now_ms) for batch in batches), strict=True)
        self._store.write(decoded)
        expected = self._hand_over(decoded)
        reached: dict[int, int] = {}
        for batch, good, bad in zip(batches, decoded, rejections, strict=True):
            offset = expected[batch.partition]
            if offset is not None and offset < batch.start_offset:
                reached[batch.partition] = offset  # all of this comes again, after what is missing
                continue
            reached[batch.partition] = batch.next_offset
            done_below = self._settled.get(batch.partition, 0)
            self._trigger(good, done_below)
            self._dead_letters.send(batch, [r for r in bad if batch.offsets[r.row] >= done_below])
        self.counts["stored"] += sum(map(len, decoded))
        self.counts["rejected"] += sum(map(len, rejections))
        return reached

    def _hand_over(self, batches: Sequence[RawBatch]) -> dict[int, int | None]:
        """Return, by partition, the offset that the analyzers expect next; None if they took nothing.

        Of a partition that they took nothing of the last time, they are first asked where they are, and then
        get all that they lack.
        """
        asked = [self._untaken[b.partition].question for b in batches if b.partition in self._untaken]
        expected = dict(zip((b.partition for b in asked), self._updated(asked), strict=True))
        offered: dict[int, list[RawBatch]] = {}
        for batch in batches:
            offset = expected.get(batch.partition, batch.start_offset)
            untaken = self._untaken.get(batch.partition)
            if offset is None:
                assert untaken is not None
                untaken.keep(batch)
            elif untaken is None:
                offered[batch.partition] = [batch]
            else:
                offered[batch.partition] = untaken.lacking(batch, offset)
        together = [batch for of_partition in offered.values() for batch in of_partition]
        expected |= zip((b.partition for b in together), self._updated(together), strict=True)
        for batch in batches:
            if expected[batch.partition] is not None:
                self._untaken.pop(batch.partition, None)
                continue
            self.counts["not_taken"] += len(batch)
            if batch.partition in offered:
                self._untaken[batch.partition] = Untaken(offered[batch.partition])
        return expected

    def _updated(self, batches: Sequence[RawBatch]) -> Sequence[int | None]:
        return self._analyzers.update(batches) if batches else ()

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``."""
        self._dead_letters.send(batch, rejections, attempts)

    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Hold nothing back. See Handler."""
        return {}

    def settled(self, partition: int, offset: int) -> None:
        """Note that the records below ``offset`` are announced. See Handler."""
        self._settled[partition] = max(offset, self._settled.get(partition, 0))

    def close(self) -> None:
        """Do nothing: there is nothing to keep."""

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
        self._outputs.send(source.partition, self._trigger_topic, symbol, self._encode(trigger))


class PriceHandler(_RawHandler[BarBatch]):
    """Bars: one bulk write, one call a technical shard, one trigger a symbol and partition."""

    def __init__(
        self,
        store: Writes[BarBatch],
        technical: UpdatePool[BarBatch],
        outputs: Outputs,
        dead_letters: DeadLetters,
        trigger_topic: str,
        clock: Clock,
        analysed_intervals: Sequence[str],
        decode: Decode[PriceBar] = decode_bar,
        encode: Encode = encode,
    ) -> None:
        super().__init__(store, technical, outputs, dead_letters, trigger_topic, clock, encode)
        self._decode_bar = decode
        self._analysed_intervals = frozenset(analysed_intervals)

    def _decode(self, batch: PartitionBatch, now_ms: int) -> tuple[BarBatch, list[Rejection]]:
        return decode_bars(batch, now_ms, self._decode_bar)

    def _trigger(self, bars: BarBatch, first_offset: int) -> None:
        stretches: dict[str, list[int]] = {}
        for code, offset, time_ms in zip(
            bars.codes.tolist(), bars.offsets.tolist(), bars.time_ms.tolist(), strict=True
        ):
            symbol, interval = bars.series[code]
            if interval not in self._analysed_intervals or offset < first_offset:
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


class NewsHandler(_RawHandler[NewsBatch]):
    """Articles: the same, with the symbols that each one is about found here, once."""

    def __init__(
        self,
        store: Writes[NewsBatch],
        sentiment: UpdatePool[NewsBatch],
        outputs: Outputs,
        dead_letters: DeadLetters,
        trigger_topic: str,
        clock: Clock,
        symbols_of: Callable[[NewsItem], tuple[str, ...]],
        decode: Decode[NewsItem] = decode_news_item,
        encode: Encode = encode,
    ) -> None:
        super().__init__(store, sentiment, outputs, dead_letters, trigger_topic, clock, encode)
        self._decode_item = decode
        self._symbols_of = symbols_of

    def _decode(self, batch: PartitionBatch, now_ms: int) -> tuple[NewsBatch, list[Rejection]]:
        return decode_news(batch, now_ms, self._symbols_of, self._decode_item)

    def _trigger(self, news: NewsBatch, first_offset: int) -> None:
        rows: Mapping[str, list[int]] = defaultdict(list)
        for row, symbols in enumerate(news.symbols):
            if news.offsets[row] >= first_offset:
                for symbol in symbols:
                    rows[symbol].append(row)
        for symbol, of_symbol in rows.items():
            first, last = news.offsets[of_symbol[0]], news.offsets[of_symbol[-1]]
            published_ms = max(int(news.items[row].published_at.timestamp() * 1000) for row in of_symbol)
            source = OffsetRange(news.topic, news.partition, first, last)
            self._announce("news_update", symbol, source, published_ms, len(of_symbol))
