"""What the pipelines need of a pool of analyzers, wherever those run.

Asking waits for an answer, or raises AnalyzerUnavailable (retriable) while a shard is away. Handing
over waits for nobody.
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

    def update(self, batches: Sequence[_Batch_contra]) -> list[int | None]:
        """Hand each batch to its shard; return, in order, the next offset expected of its partition.

        A value below a batch's ``start_offset`` means that the shard lacks what lies between. None
        means that the shard is away or has no time, or will take the batch later: it will load from
        the store what it is asked about until then. A batch that covers nothing asks where it is.
        """


class AnalysisPool(Protocol):
    """The side that answers."""

    def analyze(self, requests: Sequence[AnalysisRequest]) -> list[EncodedResult]:
        """Return the results for ``requests`` of all shards."""
