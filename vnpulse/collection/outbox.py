"""The way out: collected records are checked as any producer's are, and kept until the broker has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from vnpulse.batches import PartitionBatch
from vnpulse.clock import Clock
from vnpulse.decoding import Rejection
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.messages import Alert, AnalysisTrigger, Encode, NewsItem, PriceBar, encode
from vnpulse.publishing import BarReader, NewsReader, Reader, unplaced
from vnpulse.topics import ALERTS, NEWS, PRICES, TRIGGERS


class Outbox:
    """Queues records in memory; durable on the broker when ``flush`` returns.

    A record that consumers would reject goes to the dead-letter topic instead, with its reason, and is
    counted under ``rejected_REASON``. After a failed flush everything is sent again by the next one.
    """

    def __init__(
        self,
        producer: StockKafkaProducer,
        dead_letters: DeadLetters,
        kafka: KafkaSettings,
        clock: Clock,
        from_json: Callable[[str], Encode] = lambda _: bytes,
    ) -> None:
        """``from_json`` returns, by topic without prefix, what makes a record of a message in JSON; see
        MessageCodecs.from_json."""
        self._from_json = from_json
        self._producer = producer
        self._dead_letters = dead_letters
        self._kafka = kafka
        self._clock = clock
        self._unsent: list[tuple[str, str, bytes]] = []
        """Topic without prefix, key, message in JSON."""
        self._refused: list[tuple[PartitionBatch, list[Rejection]]] = []
        self.counts: Counter[str] = Counter()
        self.last_rejection = ""

    def bars(self, bars: Sequence[PriceBar]) -> int:
        """Queue bars; return how many are fit to be sent."""
        return self._checked(PRICES, [encode(bar) for bar in bars], BarReader())

    def news(self, items: Sequence[NewsItem]) -> int:
        """Queue articles; return how many are fit to be sent."""
        return self._checked(NEWS, [encode(item) for item in items], NewsReader())

    def triggers(self, triggers: Sequence[AnalysisTrigger]) -> None:
        """Queue triggers."""
        self._unsent += ((TRIGGERS, trigger.symbol, encode(trigger)) for trigger in triggers)
        self.counts["triggers"] += len(triggers)

    def alert(self, alert: Alert) -> None:
        """Queue an alert."""
        self._unsent.append((ALERTS, alert.symbol, encode(alert)))
        self.counts["alerts"] += 1

    def _checked(self, name: str, values: list[bytes], reader: Reader) -> int:
        topic, now_ms = self._kafka.topic(name), self._clock.now_ms()
        batch = unplaced(values, topic, now_ms)
        rejections = reader.check(batch, now_ms)
        bad = {rejection.row for rejection in rejections}
        good = [value for row, value in enumerate(values) if row not in bad]
        self._unsent += ((name, reader.key(value), value) for value in good)
        if rejections:
            self._refused.append((batch, rejections))
            self.last_rejection = f"{rejections[-1].reason}: {rejections[-1].message}"
            self.counts.update(f"rejected_{rejection.reason}" for rejection in rejections)
        self.counts["records"] += len(good)
        return len(good)

    def flush(self) -> None:
        """Send what is queued and wait for it. Raises BrokerUnavailable, KafkaRefused or
        SchemaUnavailable."""
        if not (self._unsent or self._refused):
            return
        written = {name: self._from_json(name) for name, _, _ in self._unsent}
        for name, key, value in [(name, key, written[name](value)) for name, key, value in self._unsent]:
            self._producer.send(self._kafka.topic(name), key, value)
        for batch, rejections in self._refused:
            self._dead_letters.send(batch, rejections)
        self._producer.flush()
        self._unsent.clear()
        self._refused.clear()

    def close(self) -> None:
        """Leave the broker."""
        self._producer.close()
