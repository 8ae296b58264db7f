"""What every sentiment model answers with, and what it must offer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from vnpulse.sentiment.settings import Label, Reads

LABELS: tuple[Label, Label, Label] = ("negative", "neutral", "positive")
"""The order of ``Classification.probabilities``."""


class MatchedPhrase(NamedTuple):
    """A stretch of the text that counted, and what it added: above zero is good news."""

    text: str
    value: float


class Classification(NamedTuple):
    """One text read from the point of view of someone who holds the stock.

    ``probabilities`` are those of LABELS and add up to 1; ``score`` in [-1, 1] is the
    probability of good news less that of bad news. ``phrases`` is empty for models that cannot
    say what they looked at. ``reader`` is who answered where that was not the model asked.
    """

    label: Label
    score: float
    probabilities: tuple[float, float, float]
    phrases: tuple[MatchedPhrase, ...] = ()
    reader: str = ""


class SentimentModel(Protocol):
    """Reads texts. The first line of a text is its headline (``text.article_text``)."""

    @property
    def version(self) -> str:
        """Name exactly what answers, so that a result can be traced to it."""

    @property
    def reads(self) -> Reads:
        """What of an article it wants to be given."""

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Return one classification a text, in the order given."""


def from_probabilities(
    negative: float, neutral: float, positive: float, phrases: tuple[MatchedPhrase, ...] = ()
) -> Classification:
    """Return the classification with the likeliest label; neutral wins a tie."""
    label: Label = "neutral"
    if max(negative, positive) > neutral and negative != positive:
        label = "negative" if negative > positive else "positive"
    score = min(1.0, max(-1.0, positive - negative))
    return Classification(label, score, (negative, neutral, positive), phrases)
