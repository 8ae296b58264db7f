"""Calling analyzer shards over Ray: one call a shard, whatever the number of records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError

from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch
from vnpulse.errors import AnalyzerUnavailable
from vnpulse.kafka.partitioning import partition_of
from vnpulse.streaming.analyzer_pool import EncodedResult

CALL_TIMEOUT_S = 60.0
"""Far above any healthy call; a shard that takes longer is being replaced, and the caller asks again."""


def shard_name(kind: str, shard: int) -> str:
    """Return the actor name of a shard."""
    return f"{kind}/{shard}"


class RayAnalyzerPool(ABC):
    """Shards of one analyzer, found by name: a replaced actor is found again at the next call."""

    def __init__(self, kind: str, shards: int, namespace: str) -> None:
        self._kind = kind
        self._shards = shards
        self._namespace = namespace
        self._handles: dict[int, ActorHandle] = {}

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

    def _call(self, method: str, arguments: dict[int, Any]) -> dict[int, Any]:
        """Call ``method`` of several shards at once; return the answers by shard."""
        pending = {shard: getattr(self._handle(shard), method).remote(a) for shard, a in arguments.items()}
        answers = {}
        for shard, reference in pending.items():
            try:
                answers[shard] = ray.get(reference, timeout=CALL_TIMEOUT_S)
            except (RayActorError, GetTimeoutError) as error:
                self._handles.pop(shard, None)
                name = shard_name(self._kind, shard)
                raise AnalyzerUnavailable(
                    f"{name} did not answer {method} ({type(error).__name__})"
                ) from error
        return answers

    @abstractmethod
    def _shards_asked(self, request: AnalysisRequest) -> dict[int, AnalysisRequest]:
        """Return what to ask of which shard."""

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        """Return the results for ``requests`` of all shards. Raises AnalyzerUnavailable."""
        asked: dict[int, list[AnalysisRequest]] = defaultdict(list)
        for request in requests:
            for shard, part in self._shards_asked(request).items():
                asked[shard].append(part)
        answers = self._call("analyze", dict(asked))
        return [result for shard in sorted(answers) for result in answers[shard]]


class TechnicalPool(RayAnalyzerPool):
    """A raw partition belongs to one shard, and so do the symbols in it."""

    def __init__(self, shards: int, namespace: str, raw_partitions: int) -> None:
        super().__init__("technical", shards, namespace)
        self._raw_partitions = raw_partitions

    def update(self, batches: Sequence[BarBatch]) -> list[int]:
        """Hand each batch to its shard. See UpdatePool."""
        of_shard: dict[int, list[int]] = defaultdict(list)
        for index, batch in enumerate(batches):
            of_shard[batch.partition % self._shards].append(index)
        answers = self._call("update", {s: [batches[i] for i in rows] for s, rows in of_shard.items()})
        expected = [0] * len(batches)
        for shard, rows in of_shard.items():
            for index, offset in zip(rows, answers[shard], strict=True):
                expected[index] = offset
        return expected

    def _shards_asked(self, request: AnalysisRequest) -> dict[int, AnalysisRequest]:
        if not request.sources:
            return {partition_of(request.symbol, self._raw_partitions) % self._shards: request}
        parts = defaultdict(list)
        for source in request.sources:
            parts[source.partition % self._shards].append(source)
        return {
            shard: AnalysisRequest(request.symbol, request.request_id, tuple(sources))
            for shard, sources in parts.items()
        }


class SentimentPool(RayAnalyzerPool):
    """A symbol belongs to one shard. An article may be about several, so every shard sees every
    batch and gets the articles about its own symbols."""

    def __init__(self, shards: int, namespace: str) -> None:
        super().__init__("sentiment", shards, namespace)

    def update(self, batches: Sequence[NewsBatch]) -> list[int]:
        """Hand each batch to all shards; a partition is as far as its slowest shard. See UpdatePool."""
        answers = self._call("update", {s: [self._part(b, s) for b in batches] for s in range(self._shards)})
        return [min(offsets) for offsets in zip(*answers.values(), strict=True)]

    def _part(self, batch: NewsBatch, shard: int) -> NewsBatch:
        if self._shards == 1:
            return batch
        mine = [tuple(s for s in symbols if self._shard_of(s) == shard) for symbols in batch.symbols]
        rows = [row for row, symbols in enumerate(mine) if symbols]
        return replace(
            batch,
            items=[batch.items[row] for row in rows],
            symbols=[mine[row] for row in rows],
            offsets=[batch.offsets[row] for row in rows],
            append_ms=[batch.append_ms[row] for row in rows],
        )

    def _shard_of(self, symbol: str) -> int:
        return partition_of(symbol, self._shards)

    def _shards_asked(self, request: AnalysisRequest) -> dict[int, AnalysisRequest]:
        return {self._shard_of(request.symbol): request}
