"""Group aggregation-consumers: results become alerts, once each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from vnpulse.aggregation.aggregator import Aggregator, SymbolState, decode_state, encode_state
from vnpulse.batches import PartitionBatch
from vnpulse.clock import Clock
from vnpulse.decoding import Decode, Rejection, decode_each
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import Alert, AnalysisResult, Encode, RecordRef, encode
from vnpulse.store.alerts import AlertStore
from vnpulse.streaming.outputs import Outputs

_decode_result: Decode[AnalysisResult] = msgspec.json.Decoder(AnalysisResult).decode


SNAPSHOT_PERIOD_MS = 5_000
"""How much is stepped through again after a crash. Saving with every poll cost half of this
pipeline's time: one upsert for each symbol in it."""


_States = dict[str, tuple[int, SymbolState]]
"""By symbol: the offset that its state has seen everything below of, and the state."""


@dataclass(slots=True)
class _Partition:
    """What is known of one results partition."""

    topic: str
    next_offset: int
    quiet_below: int
    """Records below were done before: their alerts and dead letters are out already."""
    states: _States
    changed: set[str] = field(default_factory=set)
    staged: _States = field(default_factory=dict)
    """What the states become when the alerts of the batch in hand are out."""


class ResultHandler:
    """Steps the aggregator through results and makes its alerts durable.

    The offset travels with the state: snapshots of both go to the store every few seconds, and
    after a restart the results since then are read again and stepped through in silence, because
    their alerts are out. Without a snapshot that means all results that the topic still has.

    The order is: alerts to the store, alerts to the topic and (in a transaction together with
    them, or after them) the offset, then the states move on. A failure before that leaves the
    states as they were, so the same alerts are made again, with the same ids.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        store: AlertStore,
        outputs: Outputs,
        dead_letters: DeadLetters,
        alert_topic: str,
        clock: Clock,
        decode: Decode[AnalysisResult] = _decode_result,
        encode: Encode = encode,
    ) -> None:
        self._decode = decode
        self._encode = encode
        self._aggregator = aggregator
        self._store = store
        self._outputs = outputs
        self._dead_letters = dead_letters
        self._alert_topic = alert_topic
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._snapshot_due_ms = 0
        self.counts: Counter[str] = Counter()

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Turn results into alerts. See Handler."""
        if self._clock.now_ms() >= self._snapshot_due_ms and any(
            known.changed for known in self._partitions.values()
        ):
            self._save_snapshots()
        reached: dict[int, int] = {}
        alerts: list[Alert] = []
        for batch in batches:
            known = self._partitions.get(batch.partition) or self._restore(batch)
            if known.next_offset < batch.start_offset:
                reached[batch.partition] = known.next_offset
                continue
            fired, known.staged = self._step_through(batch, known)
            for alert in fired:
                self._outputs.send(batch.partition, self._alert_topic, alert.symbol, self._encode(alert))
            alerts += fired
            reached[batch.partition] = batch.next_offset
        self._store.write(alerts)
        self.counts["alerts"] += len(alerts)
        return reached

    def settled(self, partition: int, offset: int) -> None:
        """Move the states on. See Handler."""
        known = self._partitions.get(partition)
        if known is not None:
            known.states |= known.staged
            known.changed |= known.staged.keys()
            known.staged = {}
            known.next_offset = max(known.next_offset, offset)

    def _restore(self, batch: PartitionBatch) -> _Partition:
        next_offset, stored = self._store.load_snapshot(batch.topic, batch.partition)
        states = {symbol: (offset, decode_state(state)) for symbol, (offset, state) in stored.items()}
        known = _Partition(batch.topic, min(next_offset, batch.start_offset), batch.start_offset, states)
        self._partitions[batch.partition] = known
        return known

    def _step_through(self, batch: PartitionBatch, known: _Partition) -> tuple[list[Alert], _States]:
        """Return the alerts of ``batch`` and the states after it; ``known`` stays as it is."""
        results, rows, rejections = decode_each(batch.values, self._decode)
        offsets, timestamps = batch.offsets.tolist(), batch.timestamps.tolist()
        alerts: list[Alert] = []
        states: _States = {}
        for result, row in zip(results, rows, strict=True):
            symbol, offset = result.symbol, offsets[row]
            if symbol not in states:
                seen_to, state = known.states.get(symbol) or (0, SymbolState())
                if offset < seen_to:
                    continue
                states[symbol] = (offset, state.copied())
            state = states[symbol][1]
            record = RecordRef(batch.topic, batch.partition, offset, timestamps[row])
            try:
                fired = self._aggregator.step(state, result, record)
            except Exception as error:  # a defect that this result brings out; the state is untouched
                message = f"{type(error).__name__}: {error}"
                rejections.append(Rejection(row, "processing-error", message))
                continue
            if offset >= known.quiet_below:
                alerts += fired
            states[symbol] = (offset + 1, state)
        self._dead_letters.send(batch, [r for r in sorted(rejections) if offsets[r.row] >= known.quiet_below])
        self.counts["results"] += len(results)
        self.counts["rejected"] += len(rejections)
        return alerts, states

    def _save_snapshots(self) -> None:
        for partition, known in self._partitions.items():
            if known.changed:
                states = {s: (known.states[s][0], encode_state(known.states[s][1])) for s in known.changed}
                self._store.save_snapshot(known.topic, partition, known.next_offset, states)
                known.changed.clear()
        self._snapshot_due_ms = self._clock.now_ms() + SNAPSHOT_PERIOD_MS

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``."""
        known = self._partitions.get(batch.partition)
        if known is not None:
            known.staged = {}  # of an attempt that failed
        self._dead_letters.send(batch, rejections, attempts)

    def close(self) -> None:
        """Save the state."""
        self._save_snapshots()
