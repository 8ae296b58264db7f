from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from training.headlines import HELD_OUT, OWN, Headline, fill, read_labelled, read_slots, read_titles
from vnpulse.errors import InputFileError


def test_our_own_headlines_use_known_slots_and_none_is_held_out() -> None:
    own = read_labelled(OWN, "own")
    slots = read_slots()
    used = {slot for h in own for slot in re.findall(r"\{(\w+)\}", h.text)}
    assert used == set(slots)
    texts = [h.text for h in own]
    assert len(texts) == len(set(texts))
    assert not set(texts) & {h.text for h in read_labelled(HELD_OUT, "held_out")}
    rng = random.Random(1)
    assert not any("{" in fill(text, slots, rng) for text in texts)


def test_sets_and_newspapers_become_sources(tmp_path: Path) -> None:
    labelled = tmp_path / "l.tsv"
    labelled.write_text("label\ttext\tset\npositive\tLãi  tăng\ta\n", encoding="utf-8")
    assert read_labelled(labelled, "2021") == [Headline("Lãi tăng", "positive", "2021/a")]
    titles = tmp_path / "t.jsonl"
    line = '{"title": "Lãi &amp; lỗ", "published_at": "2025-11-03T01:00:00Z", "source": "Báo"}\n'
    titles.write_text(line * 2, encoding="utf-8")
    assert read_titles(titles) == [("Lãi & lỗ", "2025-11/Báo")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "label\ttext\nbullish\tx\n",
            r":2: needs the columns label \(negative, neutral, positive\) and text",
        ),
        ("text\nx\n", ":2: needs the columns label"),
        ("label\ttext\n", ": has no headlines"),
    ],
)
def test_a_labelled_file_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "l.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=message):
        read_labelled(path, "x")


@pytest.mark.parametrize(
    ("text", "message"), [('{"title": "x"}\n', ":1: needs title, published_at"), ("x\n", "cannot be read as")]
)
def test_titles_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=message):
        read_titles(path)
