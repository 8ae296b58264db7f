"""One score of several analyses.

With weight w, confidence c, age factor d = 2^(-age / half-life) (1 for the technical score, whose
age is a bar) and score s of each analysis that there is::

    final_score = sum(w c d s) / sum(w c d)         (0 when the denominator is)
    confidence  = sum(w c d) / sum(w)               (over all weights, so a missing analysis costs)

An analysis that is unsure or old counts less; one that is missing does not pull towards zero, it
lowers the confidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vnpulse.aggregation.rules import MINUTE_MS, RuleBook
from vnpulse.messages import AnalysisResult, AnalysisType


class Part(NamedTuple):
    """What one analysis adds: ``share`` of the final score's weight, and ``contribution`` to it."""

    result: AnalysisResult
    weight: float
    age_factor: float
    share: float
    contribution: float


class Fused(NamedTuple):
    """The fused score and its parts."""

    score: float
    confidence: float
    parts: dict[AnalysisType, Part]


def fuse(latest: Mapping[AnalysisType, AnalysisResult], book: RuleBook, now_ms: int) -> Fused:
    """Fuse the latest result of each analysis as of ``now_ms`` (event time)."""
    effective: dict[AnalysisType, tuple[float, float]] = {}
    for kind in book.weights:  # in this order, so that what is shown does not depend on arrival
        result = latest.get(kind)
        if result is None:
            continue
        age_minutes = max(0, now_ms - int(result.timestamp.timestamp() * 1000)) / MINUTE_MS
        factor = 2.0 ** (-age_minutes / book.sentiment_half_life_minutes) if kind == "sentiment" else 1.0
        effective[kind] = (factor, book.weights[kind] * result.results.confidence * factor)
    total = sum(weight for _, weight in effective.values())
    parts: dict[AnalysisType, Part] = {}
    for kind, (factor, weight) in effective.items():
        share = weight / total if total > 0 else 0.0
        result = latest[kind]
        parts[kind] = Part(result, book.weights[kind], factor, share, share * result.results.score)
    score = sum(part.contribution for part in parts.values())
    confidence = total / sum(book.weights.values())
    # Sums of shares may pass 1 by a rounding error; the message format does not allow that.
    return Fused(max(-1.0, min(1.0, score)), min(1.0, confidence), parts)
