"""Group aggregation-consumers: results become alerts, once each."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec

from vnpulse.aggregation.aggregator import Aggregator, SymbolState, decode_state, encode_state
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection, decode_each
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.messages import Alert, AnalysisResult, RecordRef, encode
from vnpulse.store.alerts import AlertStore

_decode_result = msgspec.json.Decoder(AnalysisResult).decode


class ResultHandler:
    """Steps the aggregator through results and makes its alerts and state durable.

    The state of a symbol is kept in the store with the offset that it has seen, and read back when
    a partition is first met; results below that offset were taken in already and are skipped.

    The order is: alerts to the topic, flush, alerts to the store, state to the store. A crash
    before the state is written makes the same alerts again, with the same ids; one after it
    makes none. So an alert is never lost, and who reads the topic twice sees the same id.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        store: AlertStore,
        producer: StockKafkaProducer,
        dead_letters: DeadLetters,
        alert_topic: str,
    ) -> None:
        self._aggregator = aggregator
        self._store = store
        self._producer = producer
        self._dead_letters = dead_letters
        self._alert_topic = alert_topic
        self._states: dict[int, dict[str, tuple[int, SymbolState]]] = {}
        self.counts: Counter[str] = Counter()

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Turn results into alerts. See Handler."""
        try:
            alerts: list[Alert] = []
            changed: dict[int, set[str]] = defaultdict(set)
            for batch in batches:
                alerts += self._step_through(batch, changed[batch.partition])
            for alert in alerts:
                self._producer.send(self._alert_topic, alert.symbol, encode(alert))
            self._producer.flush()
            self._store.write(alerts)
            for batch in batches:
                states = self._states[batch.partition]
                self._store.save_states(
                    batch.topic,
                    batch.partition,
                    {s: (states[s][0], encode_state(states[s][1])) for s in changed[batch.partition]},
                )
        except Exception:
            # The states in memory have moved on and their effects may not be out: go back to the
            # stored ones, which the next attempt reads.
            self._states.clear()
            raise
        self.counts["alerts"] += len(alerts)
        return {batch.partition: batch.next_offset for batch in batches}

    def _step_through(self, batch: PartitionBatch, changed: set[str]) -> list[Alert]:
        states = self._states.get(batch.partition)
        if states is None:
            stored = self._store.load_states(batch.topic, batch.partition)
            states = {symbol: (offset, decode_state(state)) for symbol, (offset, state) in stored.items()}
            self._states[batch.partition] = states
        results, rows, rejections = decode_each(batch.values, _decode_result)
        self._dead_letters.send(batch, rejections)
        self.counts["results"] += len(results)
        self.counts["rejected"] += len(rejections)
        alerts: list[Alert] = []
        offsets, timestamps = batch.offsets.tolist(), batch.timestamps.tolist()
        for result, row in zip(results, rows, strict=True):
            next_offset, state = states.get(result.symbol) or (0, SymbolState())
            offset = offsets[row]
            if offset < next_offset:
                self.counts["seen_before"] += 1
                continue
            record = RecordRef(batch.topic, batch.partition, offset, timestamps[row])
            alerts += self._aggregator.step(state, result, record)
            states[result.symbol] = (offset + 1, state)
            changed.add(result.symbol)
        return alerts

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``, durably."""
        self._dead_letters.send(batch, rejections, attempts)
        self._producer.flush()

    def close(self) -> None:
        """Send what is queued and let go of the broker."""
        self._producer.close()
