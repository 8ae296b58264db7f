"""Figures of a set of predictions, and the temperature that makes probabilities honest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vnpulse.sentiment.classification import LABELS
from vnpulse.sentiment.settings import Label

_BINS = 10


def targets(labels: Sequence[Label]) -> Tensor:
    """Return the classes [len(labels)] as integers."""
    return torch.tensor([LABELS.index(label) for label in labels])


def figures(logits: Tensor, labels: Sequence[Label], temperature: float = 1.0) -> dict[str, Any]:
    """Return macro-F1, accuracy, per-class figures, the confusion matrix and calibration error.

    The matrix has a row a true class and a column a predicted one. The expected calibration
    error is over ten equal bins of the largest probability (Guo et al. 2017).
    """
    truth = targets(labels)
    probabilities = (logits / temperature).softmax(dim=-1)
    confidence, predicted = probabilities.max(dim=-1)
    matrix = torch.zeros(len(LABELS), len(LABELS), dtype=torch.long)
    for row, column in zip(truth.tolist(), predicted.tolist(), strict=True):
        matrix[row, column] += 1
    classes = {}
    for i, label in enumerate(LABELS):
        hits = int(matrix[i, i])
        precision = hits / max(1, int(matrix[:, i].sum()))
        recall = hits / max(1, int(matrix[i].sum()))
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        classes[label] = {
            "precision": round(precision, 3),
            "recall": round(recall, 3),
            "f1": round(f1, 3),
            "count": int(matrix[i].sum()),
        }
    right = (predicted == truth).float()
    bins = (confidence * _BINS).long().clamp(max=_BINS - 1)
    error = 0.0
    for b in range(_BINS):
        inside = bins == b
        if inside.any():
            error += abs(float((confidence[inside] - right[inside]).sum()))
    return {
        "count": len(labels),
        "macro_f1": round(sum(c["f1"] for c in classes.values()) / len(LABELS), 3),
        "accuracy": round(float(right.mean()), 3),
        "classes": classes,
        "confusion": matrix.tolist(),
        "calibration_error": round(error / len(labels), 3),
    }


def best_temperature(logits: Tensor, labels: Sequence[Label]) -> float:
    """Return the divisor of the logits under which ``labels`` are likeliest, to 0.05."""
    truth = targets(labels)
    steps = [round(0.1 + 0.05 * i, 2) for i in range(79)]
    return min(steps, key=lambda t: float(torch.nn.functional.cross_entropy(logits / t, truth)))
