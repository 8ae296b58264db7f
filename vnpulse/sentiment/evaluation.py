"""How well a model's labels agree with given ones.

Precision, recall and F1 as in van Rijsbergen (1979), "Information Retrieval", ch. 7; F1 of a class
is 2TP / (2TP + FP + FN). Macro-F1 is its plain mean over the classes that occur among the given or
the answered labels.
"""

from __future__ import annotations

from typing import Any

from vnpulse.sentiment.classification import LABELS
from vnpulse.sentiment.settings import Label


class Evaluation:
    """Counts answers against given labels; its size does not depend on how many."""

    def __init__(self) -> None:
        self.confusion: dict[Label, dict[Label, int]] = {given: dict.fromkeys(LABELS, 0) for given in LABELS}
        """Texts by given label, then by answered label."""

    def add(self, given: Label, answered: Label) -> None:
        """Count one text."""
        self.confusion[given][answered] += 1

    def figures(self) -> dict[str, Any]:
        """Return all figures as plain data. A quotient without cases is 0."""
        classes: dict[str, dict[str, float]] = {}
        for label in LABELS:
            right = self.confusion[label][label]
            given = sum(self.confusion[label].values())
            answered = sum(row[label] for row in self.confusion.values())
            classes[label] = {
                "precision": _share(right, answered),
                "recall": _share(right, given),
                "f1": _share(2 * right, given + answered),
                "count": given,
                "answered": answered,
            }
        occurring = [c["f1"] for c in classes.values() if c["count"] or c["answered"]]
        count = sum(int(c["count"]) for c in classes.values())
        return {
            "count": count,
            "macro_f1": sum(occurring) / len(occurring) if occurring else 0.0,
            "accuracy": _share(sum(self.confusion[label][label] for label in LABELS), count),
            "classes": classes,
            "confusion": self.confusion,
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
