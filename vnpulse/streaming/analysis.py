"""Group analysis-consumers: triggers of one symbol coalesce into one request; urgent ones go first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Decode, Rejection, decode_each
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import AnalysisTrigger, AnalysisType, OffsetRange
from vnpulse.streaming.analyzer_pool import AnalysisPool, EncodedResult
from vnpulse.streaming.outputs import Outputs

REQUESTS_PER_CALL: dict[AnalysisType, int] = {"technical": 512, "sentiment": 32}
"""Bounds what one analyzer call answers with, so that urgent requests are out before the rest starts,
and how long it takes: a symbol may have many articles, and a model reads some 70 a second."""

ANALYZERS_OF: dict[str, tuple[AnalysisType, ...]] = {
    "price_update": ("technical",),
    "news_update": ("sentiment",),
    "scheduled": ("technical", "sentiment"),
}
"""Which analyzers a trigger type asks."""

_URGENCY = {"urgent": 0, "high": 1, "normal": 2, "low": 3}

_decode_trigger: Decode[AnalysisTrigger] = msgspec.json.Decoder(AnalysisTrigger).decode


@dataclass(slots=True)
class _Coalesced:
    """Triggers of one symbol for one analyzer, merged."""

    symbol: str
    urgency: int
    request_id: str
    sources: list[OffsetRange] = field(default_factory=list)
    latest: bool = False


class TriggerHandler:
    """Asks one analyzer what the triggers are about, and sends its results.

    There is one for each analyzer, and each reads all triggers at its own pace, so slow sentiment
    holds back no price. Result ids derive from the raw records, so a batch that comes again
    gives the same results again, however it is cut.
    """

    def __init__(
        self,
        kind: AnalysisType,
        analyzer: AnalysisPool,
        outputs: Outputs,
        dead_letters: DeadLetters,
        result_topic: str,
        *,
        decode: Decode[AnalysisTrigger] = _decode_trigger,
        keeps_bad: bool = True,
    ) -> None:
        """``keeps_bad``: whether this one, of all that read the same triggers, dead-letters what is none."""
        self._decode = decode
        self._kind: AnalysisType = kind
        self._analyzer = analyzer
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._result_topic = result_topic
        self._keeps_bad = keeps_bad
        self.counts: Counter[str] = Counter()

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Analyze what the triggers ask for and send the results. See Handler."""
        decoded: dict[int, list[AnalysisTrigger]] = {}
        rejected: list[tuple[PartitionBatch, list[Rejection]]] = []
        for batch in batches:
            triggers, _, rejections = decode_each(batch.values, self._decode)
            rejected.append((batch, rejections))
            decoded[batch.partition] = [t for t in triggers if self._kind in ANALYZERS_OF[t.trigger_type]]
        for together in _without_shared_symbols(decoded):
            self._analyze(together)
        if self._keeps_bad:
            for batch, rejections in rejected:
                self._dead_letters.send(batch, rejections)
        return {batch.partition: batch.next_offset for batch in batches}

    def _analyze(self, triggers: Mapping[int, list[AnalysisTrigger]]) -> None:
        """Send the results for triggers by partition, no symbol of which is in two of them."""
        cause = {t.symbol: partition for partition, some in triggers.items() for t in some}
        everything = [trigger for some in triggers.values() for trigger in some]
        requests = coalesce(everything).get(self._kind, [])
        self.counts["triggers"] += len(everything)
        self.counts["requests"] += len(requests)
        size = REQUESTS_PER_CALL[self._kind]
        for start in range(0, len(requests), size):
            results: list[EncodedResult] = self._analyzer.analyze(requests[start : start + size])
            for symbol, value in results:
                self._outputs.send(cause[symbol], self._result_topic, symbol, value)
            self.counts["results"] += len(results)

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``."""
        self._dead_letters.send(batch, rejections, attempts)

    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Hold nothing back. See Handler."""
        return {}

    def settled(self, partition: int, offset: int) -> None:
        """Do nothing: there is no state."""

    def close(self) -> None:
        """Do nothing: there is nothing to keep."""


def _without_shared_symbols(
    triggers: Mapping[int, list[AnalysisTrigger]],
) -> Iterator[dict[int, list[AnalysisTrigger]]]:
    """Split by partition so that no symbol of a part is in two partitions of it.

    A result belongs to the partition whose triggers asked for it, because they are committed
    together. Triggers are keyed by symbol, so this yields everything at once but for senders that
    do otherwise.
    """
    left = dict(triggers)
    while left:
        together: dict[int, list[AnalysisTrigger]] = {}
        symbols: set[str] = set()
        for partition, some in left.items():
            mine = {trigger.symbol for trigger in some}
            if not mine & symbols:
                together[partition] = some
                symbols |= mine
        yield together
        left = {partition: some for partition, some in left.items() if partition not in together}


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
