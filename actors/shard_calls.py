"""Calling analyzer shards over Ray: one call a shard, whatever the number of records."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError

from actors.analyzers import Answer, shard_name
from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch
from vnpulse.errors import AnalyzerUnavailable, StoreUnavailable
from vnpulse.kafka.partitioning import partition_of
from vnpulse.sharding import owners
from vnpulse.store.control import ControlStore
from vnpulse.streaming.analyzer_pool import EncodedResult

CALL_TIMEOUT_S = 180.0
"""More than an actor takes until it is found stuck and is replaced: who waited is told then. Answers of
a healthy one come within seconds (actors.analyzers.ANSWER_WITHIN_S)."""

FEED_WAIT_S = 0.5
"""So long the store's side waits for a shard to take a batch; a healthy one takes it in milliseconds,
or after one slice of an analysis. Then it goes on: with polls of 1,000 bars, and a shard that keeps each of
them waiting, it still stores some 2,000 a second. The batch waits for its turn at the shard."""

REPLACED_WITHIN_S = 15.0
LOOK_AGAIN_S = 0.2
"""A shard that is away is replaced within seconds: so long it is looked for often, and then its being away is
an outage, which is waited out with ever longer pauses (kafka.retry)."""

SERVING_FOR_S = 1.0
"""How old the knowledge of how many shards serve may be: a read of the store a second and process."""


class ServingShards:
    """How many shards of an analyzer are called, as the store says it."""

    def __init__(self, kind: str, control: ControlStore, otherwise: int) -> None:
        """``otherwise``: of a deployment of which nobody has said it."""
        self._kind = kind
        self._control = control
        self._otherwise = otherwise
        self._known = 0
        self._due_s = 0.0

    def __call__(self) -> int:
        """Return the number. Raises StoreUnavailable if it was never known."""
        if time.monotonic() >= self._due_s:
            try:
                state = self._control.pool(self._kind)
                self._known = state.serving if state is not None else self._otherwise
            except StoreUnavailable:
                if not self._known:
                    raise
            self._due_s = time.monotonic() + SERVING_FOR_S
        return self._known


def _asks(batch: BarBatch | NewsBatch) -> bool:
    """Say whether a batch brings nothing and only asks which offset is expected."""
    return batch.start_offset == batch.next_offset


class _Handed(NamedTuple):
    """A call of ``update``."""

    pending: ray.ObjectRef
    partitions: list[int]
    """Of its batches, in their order."""


class RayAnalyzerPool(ABC):
    """Shards of one analyzer, found by name: a replaced actor is found again at the next call.

    What waits at a shard is bounded: of each caller one call of ``update`` and one of ``analyze``,
    however slow the shard is.
    """

    def __init__(self, kind: str, shards: Callable[[], int], namespace: str) -> None:
        self._kind = kind
        self._shards = shards
        self._namespace = namespace
        self._handles: dict[int, ActorHandle] = {}
        self._late: dict[int, _Handed] = {}
        """By shard, the call that it had not answered when nobody waited any longer."""
        self._expected: dict[int, dict[int, int]] = {}
        """By shard and partition, what late answers said and nobody has asked for yet."""

    def _handle(self, shard: int) -> ActorHandle:
        handle = self._handles.get(shard)
        if handle is None:
            name = shard_name(self._kind, shard)
            try:
                handle = ray.get_actor(name, namespace=self._namespace)
            except ValueError as error:
                raise AnalyzerUnavailable(f"{name} is not running") from error
            self._handles[shard] = handle
        return handle

    def _ask(self, arguments: dict[int, list[AnalysisRequest]]) -> dict[int, Answer]:
        """Call ``analyze`` of several shards at once; return the answers. Raises AnalyzerUnavailable."""
        pending: dict[int, ray.ObjectRef] = {
            shard: self._handle(shard).analyze.remote(asked) for shard, asked in arguments.items()
        }
        answers: dict[int, Answer] = {}
        for shard, reference in pending.items():
            try:
                answers[shard] = ray.get(reference, timeout=CALL_TIMEOUT_S)
            except (RayActorError, GetTimeoutError) as error:
                self._handles.pop(shard, None)
                name = shard_name(self._kind, shard)
                raise AnalyzerUnavailable(
                    f"{name} did not answer analyze ({type(error).__name__})"
                ) from error
        return answers

    def _feed(self, arguments: dict[int, list[Any]]) -> dict[int, list[int] | None]:
        """Call ``update`` of several shards at once; return the answers, None of a shard that gave none.

        A shard that has not answered the last call is not called again until it has, and what it says
        then is believed: who waited for it in vain is told without another call.
        """
        answers: dict[int, list[int] | None] = dict.fromkeys(arguments)
        calls: dict[int, _Handed] = {}
        told: dict[int, dict[int, int]] = {}
        for shard, batches in arguments.items():
            if not self._has_answered(shard):
                continue
            late = self._expected.get(shard, {})
            told[shard] = {}
            for batch in batches:
                offset = late.pop(batch.partition, None)
                # Only to a question: much may have happened since, and an offer finds out by itself.
                if offset is not None and _asks(batch):
                    told[shard][batch.partition] = offset
            offered = [b for b in batches if b.partition not in told[shard]]
            if offered:
                with suppress(AnalyzerUnavailable):
                    handle: Any = self._handle(shard)
                    calls[shard] = _Handed(handle.update.remote(offered), [b.partition for b in offered])
            else:
                answers[shard] = [told[shard][b.partition] for b in batches]
        give_up_at = time.monotonic() + FEED_WAIT_S
        for shard, call in calls.items():
            try:
                answer = self._answer(shard, call, timeout_s=max(0.0, give_up_at - time.monotonic()))
            except GetTimeoutError:
                self._late[shard] = call
            else:
                if answer is not None:
                    of_partition = told[shard] | answer
                    answers[shard] = [of_partition[b.partition] for b in arguments[shard]]
        return answers

    def _has_answered(self, shard: int) -> bool:
        """Say whether the last call of ``update`` is over, and keep what it said if that came late."""
        call = self._late.get(shard)
        if call is None:
            return True
        if not ray.wait([call.pending], timeout=0)[0]:
            return False
        del self._late[shard]
        self._expected.setdefault(shard, {}).update(self._answer(shard, call, timeout_s=None) or {})
        return True

    def _answer(self, shard: int, call: _Handed, timeout_s: float | None) -> dict[int, int] | None:
        """Return, by partition, what the shard expects next; None if it is away. Raises GetTimeoutError."""
        try:
            offsets: list[int] = ray.get(call.pending, timeout=timeout_s)
        except AnalyzerUnavailable:  # it is warming up
            return None
        except RayActorError:
            self._handles.pop(shard, None)
            self._expected.pop(shard, None)
            return None
        return dict(zip(call.partitions, offsets, strict=True))

    @abstractmethod
    def _shards_asked(self, request: AnalysisRequest, shards: int) -> dict[int, AnalysisRequest]:
        """Return what to ask of which of ``shards`` shards."""

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        """Return the results for ``requests`` of all shards. Raises AnalyzerUnavailable."""
        give_up_at = time.monotonic() + REPLACED_WITHIN_S
        results: list[EncodedResult] = []
        left = list(requests)
        while left:
            asked = self._split(left)
            try:
                answers = self._ask(asked)
            except AnalyzerUnavailable:
                if time.monotonic() >= give_up_at:
                    raise
                time.sleep(LOOK_AGAIN_S)
                continue
            left = []
            for shard in sorted(answers):
                results += answers[shard].results
                left += asked[shard][answers[shard].requests :]
        return results

    def _split(self, requests: Sequence[AnalysisRequest]) -> dict[int, list[AnalysisRequest]]:
        shards = self._shards()
        asked: dict[int, list[AnalysisRequest]] = defaultdict(list)
        for request in requests:
            for shard, part in self._shards_asked(request, shards).items():
                asked[shard].append(part)
        return dict(asked)


class TechnicalPool(RayAnalyzerPool):
    """A raw partition belongs to one shard, and so do the symbols in it."""

    def __init__(self, shards: Callable[[], int], namespace: str, raw_partitions: int) -> None:
        super().__init__("technical", shards, namespace)
        self._raw_partitions = raw_partitions

    def update(self, batches: Sequence[BarBatch]) -> list[int | None]:
        """Hand each batch to its shard. See UpdatePool."""
        owner = owners(self._raw_partitions, self._shards())
        of_shard: dict[int, list[int]] = defaultdict(list)
        for index, batch in enumerate(batches):
            of_shard[owner[batch.partition]].append(index)
        answers = self._feed({s: [batches[i] for i in rows] for s, rows in of_shard.items()})
        expected: list[int | None] = [None] * len(batches)
        for shard, rows in of_shard.items():
            for index, offset in zip(rows, answers[shard] or (), strict=False):
                expected[index] = offset
        return expected

    def _shards_asked(self, request: AnalysisRequest, shards: int) -> dict[int, AnalysisRequest]:
        owner = owners(self._raw_partitions, shards)
        if not request.sources:
            return {owner[partition_of(request.symbol, self._raw_partitions)]: request}
        parts = defaultdict(list)
        for source in request.sources:
            # Of a partition that does not exist nobody knows anything: any shard will say so.
            parts[owner[source.partition % self._raw_partitions]].append(source)
        return {
            shard: AnalysisRequest(request.symbol, request.request_id, tuple(sources))
            for shard, sources in parts.items()
        }


class SentimentPool(RayAnalyzerPool):
    """A symbol belongs to one shard. An article may be about several, and keeping one costs little
    beside reading it, so every shard gets every batch; only its own symbols are asked of it."""

    def __init__(self, shards: Callable[[], int], namespace: str) -> None:
        super().__init__("sentiment", shards, namespace)

    def update(self, batches: Sequence[NewsBatch]) -> list[int | None]:
        """Hand each batch to all shards; a partition is as far as its slowest shard. See UpdatePool."""
        answers = self._feed({shard: list(batches) for shard in range(self._shards())})
        given = [answer for answer in answers.values() if answer is not None]
        if not given:
            return [None] * len(batches)
        return [min(offsets) for offsets in zip(*given, strict=True)]

    def _shards_asked(self, request: AnalysisRequest, shards: int) -> dict[int, AnalysisRequest]:
        return {partition_of(request.symbol, shards): request}
