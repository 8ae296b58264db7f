"""Group analysis-consumers: triggers of one symbol coalesce into one request; urgent ones go first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import msgspec

from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection, decode_each
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.messages import AnalysisTrigger, AnalysisType, OffsetRange
from vnpulse.streaming.analyzer_pool import AnalysisPool, EncodedResult

REQUESTS_PER_CALL = 512
"""Bounds what one analyzer call answers with, so that urgent requests are out before the rest starts."""

ANALYZERS_OF: dict[str, tuple[AnalysisType, ...]] = {
    "price_update": ("technical",),
    "news_update": ("sentiment",),
    "scheduled": ("technical", "sentiment"),
}
"""Which analyzers a trigger type asks."""

_URGENCY = {"urgent": 0, "high": 1, "normal": 2, "low": 3}

_decode_trigger = msgspec.json.Decoder(AnalysisTrigger).decode


@dataclass(slots=True)
class _Coalesced:
    """Triggers of one symbol for one analyzer, merged."""

    symbol: str
    urgency: int
    request_id: str
    sources: list[OffsetRange] = field(default_factory=list)
    latest: bool = False


class TriggerHandler:
    """Asks the analyzers what the triggers are about, and sends their results.

    The analyzers are asked at the same time and each one's results leave when they are there, so
    slow sentiment does not hold back prices within a batch. Result ids derive from the raw
    records, so a batch that comes again gives the same results again, however it is cut.
    """

    def __init__(
        self,
        analyzers: Mapping[AnalysisType, AnalysisPool],
        producer: StockKafkaProducer,
        dead_letters: DeadLetters,
        result_topic: str,
    ) -> None:
        self._analyzers = analyzers
        self._producer = producer
        self._dead_letters = dead_letters
        self._result_topic = result_topic
        self._threads = ThreadPoolExecutor(max_workers=len(analyzers), thread_name_prefix="analyze")
        self.counts: Counter[str] = Counter()

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Analyze what the triggers ask for and send the results. See Handler."""
        triggers: list[AnalysisTrigger] = []
        rejected: list[tuple[PartitionBatch, list[Rejection]]] = []
        for batch in batches:
            decoded, _, rejections = decode_each(batch.values, _decode_trigger)
            rejected.append((batch, rejections))
            triggers += decoded
        self.counts["triggers"] += len(triggers)
        pending = [
            self._threads.submit(self._analyze, self._analyzers[kind], requests)
            for kind, requests in coalesce(triggers).items()
            if kind in self._analyzers
        ]
        for done in as_completed(pending):
            self.counts["results"] += done.result()
        for batch, rejections in rejected:
            self._dead_letters.send(batch, rejections)
        self._producer.flush()
        return {batch.partition: batch.next_offset for batch in batches}

    def _analyze(self, analyzer: AnalysisPool, requests: Sequence[AnalysisRequest]) -> int:
        self.counts["requests"] += len(requests)
        sent = 0
        for start in range(0, len(requests), REQUESTS_PER_CALL):
            results: list[EncodedResult] = analyzer.analyze(requests[start : start + REQUESTS_PER_CALL])
            for symbol, value in results:
                self._producer.send(self._result_topic, symbol, value)
            sent += len(results)
        return sent

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``, durably."""
        self._dead_letters.send(batch, rejections, attempts)
        self._producer.flush()

    def close(self) -> None:
        """Send what is queued and let go of the broker."""
        self._threads.shutdown(wait=True)
        self._producer.close()


def coalesce(triggers: Sequence[AnalysisTrigger]) -> dict[AnalysisType, list[AnalysisRequest]]:
    """Merge triggers into one request a symbol and analyzer, urgent first, else in order of arrival.

    Stretches of the log that touch or overlap are joined. A trigger that names no records asks
    for the latest state, and does so beside the stretches of the others.
    """
    merged: dict[tuple[AnalysisType, str], _Coalesced] = {}
    for trigger in triggers:
        urgency = _URGENCY[trigger.metadata.priority]
        for kind in ANALYZERS_OF[trigger.trigger_type]:
            entry = merged.get((kind, trigger.symbol))
            if entry is None:
                entry = merged[kind, trigger.symbol] = _Coalesced(trigger.symbol, urgency, trigger.trigger_id)
            entry.urgency = min(entry.urgency, urgency)
            if trigger.metadata.sources:
                entry.sources += trigger.metadata.sources
            else:
                entry.latest = True
                entry.request_id = trigger.trigger_id
    requests: dict[AnalysisType, list[AnalysisRequest]] = {}
    for (kind, _), entry in sorted(merged.items(), key=lambda item: item[1].urgency):
        requests.setdefault(kind, []).extend(_requests(entry))
    return requests


def _requests(entry: _Coalesced) -> Iterator[AnalysisRequest]:
    if entry.sources:
        yield AnalysisRequest(entry.symbol, entry.request_id, tuple(_joined(entry.sources)))
    if entry.latest:
        yield AnalysisRequest(entry.symbol, entry.request_id)


def _joined(ranges: list[OffsetRange]) -> Iterator[OffsetRange]:
    current: OffsetRange | None = None
    for item in sorted(ranges):
        if (
            current is not None
            and (item.topic, item.partition) == (current.topic, current.partition)
            and item.first <= current.last + 1
        ):
            current = OffsetRange(
                current.topic, current.partition, current.first, max(current.last, item.last)
            )
        else:
            if current is not None:
                yield current
            current = item
    if current is not None:
        yield current
