"""What the pipelines need of a pool of analyzers, wherever those run.

Both calls raise AnalyzerUnavailable (retriable) while a shard is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

from vnpulse.analysis import AnalysisRequest
from vnpulse.batches import BarBatch, NewsBatch

_Batch_contra = TypeVar("_Batch_contra", BarBatch, NewsBatch, contravariant=True)


class EncodedResult(NamedTuple):
    """An AnalysisResult as it goes to the topic: encoded where it was made, sent as it is."""

    symbol: str
    value: bytes


class UpdatePool(Protocol[_Batch_contra]):
    """The side that takes raw batches."""

    def update(self, batches: Sequence[_Batch_contra]) -> list[int]:
        """Hand each batch to its shard; return, in order, the next offset expected of its partition.

        A value below a batch's ``start_offset`` means that the shard lacks what lies between.
        """


class AnalysisPool(Protocol):
    """The side that answers."""

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        """Return the results for ``requests`` of all shards."""
