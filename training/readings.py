"""What readers marked a title of others with, and the label and the target that follow.

``annotations.tsv`` has a line a title, under a hash of it, with up to three readings. None of the
readers saw another's. The first reading names a class; the later ones have five marks. A title on
which the first two part has a third.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from training.headlines import FOLDER, Headline, Title
from vnpulse.sentiment.settings import Label

ANNOTATIONS = FOLDER / "annotations.tsv"

MARKS: dict[str, Label] = {
    "N": "negative",
    "n": "negative",
    "0": "neutral",
    "p": "positive",
    "P": "positive",
}
"""Plainly bad, mildly bad, neutral, mildly good, plainly good for the holder."""

_BELIEF: dict[str, tuple[float, float, float]] = {
    "N": (0.95, 0.04, 0.01),
    "n": (0.80, 0.18, 0.02),
    "0": (0.06, 0.87, 0.07),
    "p": (0.02, 0.17, 0.81),
    "P": (0.01, 0.03, 0.96),
    "negative": (0.90, 0.08, 0.02),
    "neutral": (0.10, 0.75, 0.15),
    "positive": (0.02, 0.08, 0.90),
}
"""The probabilities of the classes after one reading, about as another reading of the same title has them."""


def key(title: str) -> str:
    """Return the hash under which ``annotations.tsv`` knows a cleaned title."""
    return hashlib.blake2b(title.encode(), digest_size=8).hexdigest()


def settled(readings: Sequence[str]) -> Label:
    """Return the class that most ``readings`` have; if all differ, the last one's."""
    classes = [MARKS.get(reading, cast(Label, reading)) for reading in readings]
    (most, count), *_ = Counter(classes).most_common(1)
    return most if count > 1 else classes[-1]


def belief(readings: Sequence[str]) -> tuple[float, float, float]:
    """Return the probabilities of the classes after all ``readings``: their mean."""
    rows = [_BELIEF[reading] for reading in readings]
    negative, neutral, positive = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return negative, neutral, positive


def annotated(titles: Iterable[Title | Headline], path: Path = ANNOTATIONS) -> list[Headline]:
    """Return those of ``titles`` that somebody read, with the label and belief that follow."""
    with path.open(encoding="utf-8", newline="") as file:
        known = {
            row["key"]: [row[name] for name in ("first", "second", "third") if row[name]]
            for row in csv.DictReader(file, delimiter="\t")
        }
    found = ((title, known.get(key(title.text))) for title in titles)
    return [
        Headline(title.text, settled(readings), title.source, belief(readings))
        for title, readings in found
        if readings
    ]
