from __future__ import annotations

import pytest

from vnpulse.sentiment.evaluation import Evaluation


def test_the_figures_by_hand() -> None:
    evaluation = Evaluation()
    pairs = [("positive", "positive")] * 3 + [("positive", "neutral")] + [("negative", "negative")] * 2
    pairs += [("negative", "positive"), ("neutral", "neutral"), ("neutral", "negative")]
    for given, answered in pairs:
        evaluation.add(given, answered)  # type: ignore[arg-type]
    figures = evaluation.figures()
    assert figures["count"] == 9
    assert figures["accuracy"] == pytest.approx(6 / 9)
    assert figures["classes"]["positive"] == {
        "precision": 3 / 4, "recall": 3 / 4, "f1": 3 / 4, "count": 4, "answered": 4,
    }  # fmt: skip
    assert figures["classes"]["negative"]["f1"] == pytest.approx(2 / 3)
    assert figures["classes"]["neutral"]["f1"] == pytest.approx(1 / 2)
    assert figures["macro_f1"] == pytest.approx((3 / 4 + 2 / 3 + 1 / 2) / 3)
    assert figures["confusion"]["positive"] == {"negative": 0, "neutral": 1, "positive": 3}


def test_a_class_that_never_occurs_is_left_out_of_the_mean() -> None:
    evaluation = Evaluation()
    evaluation.add("positive", "positive")
    evaluation.add("negative", "negative")
    assert evaluation.figures()["macro_f1"] == 1
    assert Evaluation().figures()["macro_f1"] == 0
