"""Group aggregation-consumers: results become alerts, once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from vnpulse.aggregation.aggregator import Aggregator, SymbolState, decode_state, encode_state
from vnpulse.aggregation.order import START, Frontier, Place, place_of
from vnpulse.batches import PartitionBatch
from vnpulse.clock import Clock
from vnpulse.decoding import Decode, Rejection, decode_each
from vnpulse.errors import VnpulseError
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import Alert, AnalysisResult, AnalysisType, Encode, RecordRef, encode
from vnpulse.metrics import NO_METRICS, Metrics
from vnpulse.store.alerts import AlertStore, Snapshot
from vnpulse.streaming.outputs import Holding, Outputs

_decode_result: Decode[AnalysisResult] = msgspec.json.Decoder(AnalysisResult).decode


SNAPSHOT_PERIOD_MS = 5_000
"""How much is stepped through again after a crash. Saving with every poll cost half of this
pipeline's time: one upsert for each symbol in it."""

MOST_WAITING = 20_000
"""Results that wait in one partition, some 150 MB. Beyond that the first half of them is decided."""


class _Note(msgspec.Struct, frozen=True):
    """What is committed beside the offset. Of the records below ``read_to``, all with a place before
    ``bound`` were decided, and their alerts are out; the others waited."""

    read_to: int
    bound: Place


_encode_note = msgspec.json.Encoder().encode
_decode_note = msgspec.json.Decoder(_Note).decode


class _Read(NamedTuple):
    """A result that was read from ``record``, row ``row`` of ``batch``."""

    place: Place
    record: RecordRef
    result: AnalysisResult
    batch: PartitionBatch
    row: int

    @property
    def offset(self) -> int:
        return self.record.offset


@dataclass(slots=True)
class _Staged:
    """What a partition becomes when what the batch in hand causes is out."""

    read_to: int
    bound: Place
    waiting: list[_Read]
    states: dict[str, SymbolState] = field(default_factory=dict)
    alerts: list[tuple[Alert, _Read]] = field(default_factory=list)
    rejected: list[tuple[PartitionBatch, Rejection]] = field(default_factory=list)
    decided: int = 0
    late: Counter[str] = field(default_factory=Counter)
    incomplete: Counter[str] = field(default_factory=Counter)

    @property
    def low(self) -> int | None:
        """The first record that waits."""
        return min((read.offset for read in self.waiting), default=None)


@dataclass(slots=True)
class _Partition:
    """What is known of one results partition.

    ``read_to`` is the next record to read. Of the records below ``seen_to`` (or by symbol below
    ``seen_of``), the states say what was decided before this process; of those below ``out.read_to``,
    the note says whose alerts are out, and so are all alerts of records below ``out_below``.
    """

    topic: str
    read_to: int
    seen_to: int
    seen_of: dict[str, int]
    out_below: int
    out: _Note
    states: dict[str, SymbolState]
    bound: Place = START
    waiting: list[_Read] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    staged: _Staged | None = None

    @property
    def catching_up(self) -> bool:
        """Whether it reads again what was read before this process."""
        return self.read_to < self.out.read_to

    def settle(self, stage: _Staged) -> None:
        """Become what was staged."""
        self.read_to, self.bound, self.waiting = stage.read_to, stage.bound, stage.waiting
        self.states |= stage.states
        self.changed |= stage.states.keys()

    def was_seen(self, symbol: str, offset: int) -> bool:
        """Whether the states know of this record already."""
        return offset < max(self.seen_to, self.seen_of.get(symbol, 0))


class ResultHandler:
    """Steps the aggregator through results in the order of their places and makes its alerts durable.

    A result waits until no other can come that belongs before it (vnpulse.aggregation.order), and what
    waits is not committed. The offset travels with the state: snapshots of both go to the store every
    few seconds. After a restart the results since then are read again; those that had been decided,
    which a note beside the committed offset tells, are stepped through in silence, because their
    alerts are out, and the others wait again. Without a snapshot that means all results that the
    topic still has.

    A result that comes too late, when some that belong behind it were decided without it, is decided as
    soon as it is read. From then on places no longer tell what was decided in which order, so the
    state as it was before goes to the store first.

    The order is: alerts to the store, alerts to the topic and (in a transaction together with
    them, or after them) the offset, then the states move on. A failure before that leaves the
    states as they were, so the same alerts are made again, with the same ids.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        frontier: Frontier,
        store: AlertStore,
        outputs: Outputs,
        holding: Holding,
        dead_letters: DeadLetters,
        alert_topic: str,
        clock: Clock,
        decode: Decode[AnalysisResult] = _decode_result,
        encode: Encode = encode,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._decode = decode
        self._encode = encode
        self._aggregator = aggregator
        self._frontier = frontier
        self._store = store
        self._outputs = outputs
        self._holding = holding
        self._dead_letters = dead_letters
        self._alert_topic = alert_topic
        self._clock = clock
        self._metrics = metrics
        self._partitions: dict[int, _Partition] = {}
        self._positions: dict[int, int] = {}
        self._snapshot_due_ms = 0
        self.counts: Counter[str] = Counter()

    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Return the partitions of which results wait, and how far each was read. See Handler."""
        self._positions = dict(positions)
        for partition, known in self._partitions.items():
            self._positions[partition] = max(known.read_to, positions.get(partition, 0))
        return {p: known.read_to for p, known in self._partitions.items() if known.waiting}

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Turn results into alerts. See Handler."""
        if self._clock.now_ms() >= self._snapshot_due_ms and any(
            known.changed for known in self._partitions.values()
        ):
            self._save_snapshots()
        reached: dict[int, int] = {}
        staged: dict[int, _Staged] = {}
        for batch in batches:
            known = self._partitions.get(batch.partition) or self._restore(batch)
            if known.read_to < batch.start_offset:
                reached[batch.partition] = known.read_to
                continue
            staged[batch.partition] = self._read(batch, known)
        self._look(staged)
        for batch in batches:
            if (staging := staged.get(batch.partition)) is not None:
                self._release(self._partitions[batch.partition], staging, self._frontier.bound)
                if len(batch) or staging.decided:
                    reached[batch.partition] = batch.next_offset
        self._write([stage for partition, stage in staged.items() if partition in reached])
        for partition, stage in staged.items():
            if partition in reached:
                self._send(partition, stage)
        return reached

    def settled(self, partition: int, offset: int) -> None:
        """Move the states on. See Handler."""
        known = self._partitions.get(partition)
        if known is None or known.staged is None:
            return
        stage, known.staged = known.staged, None
        known.settle(stage)
        self.counts["alerts"] += len(stage.alerts)
        self.counts["decided"] += stage.decided
        for name, counted in (("late", stage.late), ("incomplete", stage.incomplete)):
            self.counts[name] += counted.total()
            for kind, count in (+counted).items():
                self._metrics.increment(f"aggregation.{name}", count, analysis=kind)

    def _restore(self, batch: PartitionBatch) -> _Partition:
        snapshot = self._store.load_snapshot(batch.topic, batch.partition)
        start = batch.start_offset
        known = self._partitions[batch.partition] = _Partition(
            topic=batch.topic,
            read_to=min(snapshot.next_offset, start),
            seen_to=snapshot.read_to,
            seen_of={symbol: read_to for symbol, (read_to, _) in snapshot.states.items()},
            out_below=start,
            out=_note(*self._holding.found(batch.partition), start),
            states={symbol: decode_state(state) for symbol, (_, state) in snapshot.states.items()},
        )
        return known

    def _read(self, batch: PartitionBatch, known: _Partition) -> _Staged:
        """Return what ``batch`` brings: results that wait, and what comes of those that are late."""
        results, rows, rejections = decode_each(batch.values, self._decode)
        offsets = batch.offsets.tolist()
        times = batch.timestamps.tolist()
        reads = []
        for result, row in zip(results, rows, strict=True):
            record = RecordRef(batch.topic, batch.partition, offsets[row], times[row])
            reads.append(_Read(place_of(result, record), record, result, batch, row))
        if known.catching_up:
            self._catch_up(known, batch, [read for read in reads if read.offset < known.out.read_to])
        new = [read for read in reads if read.offset >= known.read_to]
        stage = _Staged(max(known.read_to, batch.next_offset), known.bound, list(known.waiting))
        self._take(known, stage, new, save_before_late=True)
        stage.rejected += [(batch, r) for r in rejections if offsets[r.row] >= known.read_to]
        return stage

    def _catch_up(self, known: _Partition, batch: PartitionBatch, reads: list[_Read]) -> None:
        """Step through again what was decided before. Its effects are out, so there is nothing to stage."""
        stage = _Staged(min(batch.next_offset, known.out.read_to), known.bound, list(known.waiting))
        self._take(known, stage, [read for read in reads if read.offset >= known.read_to])
        if stage.read_to == known.out.read_to:
            bound = known.out.bound
            self._step_all(known, stage, lambda r: r.place < bound or r.offset < known.out_below)
        elif len(stage.waiting) > MOST_WAITING:
            bound = _middle(stage.waiting)
            self._step_all(known, stage, lambda r: r.place < bound and r.offset < known.out_below)
        known.settle(stage)

    def _take(
        self, known: _Partition, stage: _Staged, reads: list[_Read], *, save_before_late: bool = False
    ) -> None:
        """Let ``reads`` wait; step through those that are late for their place."""
        self._frontier.read(read.place for read in reads)
        for read in reads:
            symbol = read.result.symbol
            state = stage.states.get(symbol) or known.states.get(symbol) or SymbolState()
            if read.place > state.decided:
                stage.waiting.append(read)
                continue
            if known.was_seen(symbol, read.offset) or not state.takes(read.result):
                continue
            if read.place < state.decided and save_before_late:
                self._save(read.batch.partition, known)
            # A result that was asked for again is about the same record as the one before.
            before = state.latest.get(read.result.analysis_type)
            again = before is not None and before.metadata.source == read.result.metadata.source
            self._step(known, stage, read, late=read.place < state.decided and not again)

    def _look(self, staged: Mapping[int, _Staged]) -> None:
        """Find out how far results can be decided now."""
        positions = self._positions | {partition: stage.read_to for partition, stage in staged.items()}
        news = [
            read.place
            for partition, known in self._partitions.items()
            for read in staged.get(partition, known).waiting
            if read.result.analysis_type == "sentiment"
        ]
        self._frontier.look(positions, news)

    def _release(self, known: _Partition, stage: _Staged, bound: Place) -> None:
        """Step through what no longer waits."""
        if known.catching_up:
            return
        if len(stage.waiting) > MOST_WAITING:
            bound = max(bound, _middle(stage.waiting))
        if bound > stage.bound or len(stage.waiting) > len(known.waiting):
            stage.bound = max(stage.bound, bound)
            self._step_all(known, stage, lambda read: read.place < stage.bound)

    def _step_all(self, known: _Partition, stage: _Staged, due: Callable[[_Read], bool]) -> None:
        """Step through what is due, in the order of places."""
        waiting, stage.waiting = stage.waiting, []
        ready: list[_Read] = []
        for read in waiting:
            (ready if due(read) else stage.waiting).append(read)
        for read in sorted(ready, key=lambda read: (read.place, read.offset)):
            self._step(known, stage, read)

    def _step(self, known: _Partition, stage: _Staged, read: _Read, *, late: bool = False) -> None:
        result, kind = read.result, read.result.analysis_type
        state = stage.states.get(result.symbol)
        if state is None:
            state = known.states.get(result.symbol, SymbolState()).copied()
        incomplete = read.place >= self._frontier.proved
        stage.decided += 1
        try:
            alerts = self._aggregator.step(state, result, read.record)
        except Exception as error:  # a defect that this result brings out; the state is untouched
            rejection = Rejection(read.row, "processing-error", f"{type(error).__name__}: {error}")
            stage.rejected.append((read.batch, rejection))
            return
        state.decided = max(state.decided, read.place)
        stage.states[result.symbol] = state
        stage.late[kind] += late
        stage.incomplete[kind] += incomplete
        stage.alerts += [(_marked(alert, kind, late=late, incomplete=incomplete), read) for alert in alerts]

    def _write(self, stages: Collection[_Staged]) -> None:
        """Make the alerts durable in the store."""
        try:
            self._store.write([alert for stage in stages for alert, _ in stage.alerts])
        except VnpulseError as error:
            if error.retriable:
                raise
            for stage in stages:
                stage.alerts = [(a, read) for a, read in stage.alerts if self._is_kept(stage, a, read)]

    def _is_kept(self, stage: _Staged, alert: Alert, read: _Read) -> bool:
        """Write one alert; if the store refuses it, its result becomes a dead letter."""
        try:
            self._store.write([alert])
        except VnpulseError as error:
            if error.retriable:
                raise
            kind = type(error).__name__
            stage.rejected.append((read.batch, Rejection(read.row, "processing-error", str(error), kind)))
            return False
        return True

    def _send(self, partition: int, stage: _Staged) -> None:
        known = self._partitions[partition]
        for alert, _ in stage.alerts:
            self._outputs.send(partition, self._alert_topic, alert.symbol, self._encode(alert))
        for batch, rejection in stage.rejected:
            self._dead_letters.send(batch, [rejection])
        self.counts["rejected"] += len(stage.rejected)
        self._stage(partition, known, stage)

    def _stage(self, partition: int, known: _Partition, stage: _Staged) -> None:
        known.staged = stage
        low, note = stage.low, _Note(stage.read_to, stage.bound)
        if known.catching_up:
            # What was committed says more than what is known again.
            low, note = known.out_below, known.out
        self._holding.hold(partition, low, _encode_note(note).decode())

    def _save_snapshots(self) -> None:
        for partition, known in self._partitions.items():
            if not known.catching_up:
                self._save(partition, known)
        self._snapshot_due_ms = self._clock.now_ms() + SNAPSHOT_PERIOD_MS

    def _save(self, partition: int, known: _Partition) -> None:
        if not known.changed:
            return
        states = {symbol: (known.read_to, encode_state(known.states[symbol])) for symbol in known.changed}
        low = min((read.offset for read in known.waiting), default=known.read_to)
        self._store.save_snapshot(known.topic, partition, Snapshot(low, known.read_to, states))
        known.changed.clear()

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``, and if the fault is not an outage what is due with them."""
        self._dead_letters.send(batch, rejections, attempts)
        known = self._partitions.get(batch.partition)
        if known is None:
            return
        stage = _Staged(max(known.read_to, batch.next_offset), known.bound, list(known.waiting))
        if all(rejection.reason != "outage" for rejection in rejections):
            due = [read for read in known.waiting if read.place < self._frontier.bound]
            stage.waiting = [read for read in known.waiting if read.place >= self._frontier.bound]
            for read in due:
                why = Rejection(read.row, "processing-error", "decided with records that failed")
                self._dead_letters.send(read.batch, [why], attempts)
        self._stage(batch.partition, known, stage)

    def close(self) -> None:
        """Save the state."""
        self._save_snapshots()


def _note(committed: int, note: str, start: int) -> _Note:
    """Return what was said beside the offset. Who sets a group's offset by hand says nothing."""
    try:
        found = _decode_note(note)
    except msgspec.MsgspecError:
        return _Note(start, START)
    return found if committed == start and found.read_to > start else _Note(start, START)


def _middle(waiting: Sequence[_Read]) -> Place:
    return sorted(read.place for read in waiting)[len(waiting) // 2]


def _marked(alert: Alert, kind: AnalysisType, *, late: bool, incomplete: bool) -> Alert:
    """Return ``alert`` with a remark where it does not rest on all that was in the log before."""
    if not (late or incomplete):
        return alert
    explanation = dict(alert.data.explanation)
    message = alert.message
    if late:
        explanation["late"] = True
        message += "; late: the analysis was held up"
    if incomplete:
        missing = "sentiment" if kind == "technical" else "prices"
        explanation[missing] = "not known"
        message += f"; {missing} not known: its analysis is behind"
    data = msgspec.structs.replace(alert.data, explanation=explanation)
    return msgspec.structs.replace(alert, message=message, data=data)
