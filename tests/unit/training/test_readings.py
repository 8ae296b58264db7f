from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from training.headlines import Headline, Title
from training.readings import ANNOTATIONS, MARKS, annotated, belief, key, settled
from vnpulse.sentiment.classification import LABELS


def test_annotations_are_hashes_and_readings_and_a_third_where_two_part() -> None:
    with ANNOTATIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    keys = [row["key"] for row in rows]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in keys)
    assert keys == sorted(set(keys))
    for row in rows:
        assert row["second"] in MARKS
        assert row["third"] in {"", *MARKS}
        if row["first"] and row["first"] != MARKS[row["second"]]:
            assert row["third"], row["key"]


@pytest.mark.parametrize(
    ("readings", "label"),
    [
        (["positive", "p"], "positive"),
        (["neutral", "p", "P"], "positive"),
        (["neutral", "n", "0"], "neutral"),
        (["neutral", "n", "p"], "positive"),
        (["P"], "positive"),
    ],
)
def test_most_readings_settle_a_label_and_else_the_last(readings: list[str], label: str) -> None:
    assert settled(readings) == label


def test_belief_is_a_distribution_and_surer_of_plain_marks() -> None:
    for reading in (*MARKS, *LABELS):
        assert sum(belief([reading])) == pytest.approx(1)
        assert LABELS[belief([reading]).index(max(belief([reading])))] == settled([reading])
    assert belief(["P"])[2] > belief(["p"])[2] > belief(["p", "0"])[2]


def test_titles_get_what_was_read_of_them_and_others_stay_out(tmp_path: Path) -> None:
    titles = [Title("Lãi tăng", "2025-11/Báo"), Headline("Không ai đọc", "neutral", "2021/a")]
    path = tmp_path / "annotations.tsv"
    path.write_text(f"key\tfirst\tsecond\tthird\n{key('Lãi tăng')}\tneutral\tp\tP\n", encoding="utf-8")
    assert annotated(titles, path) == [
        Headline("Lãi tăng", "positive", "2025-11/Báo", belief(["neutral", "p", "P"]))
    ]
