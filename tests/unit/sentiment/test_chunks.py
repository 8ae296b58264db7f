from __future__ import annotations

from collections.abc import Sequence

import pytest

from vnpulse.sentiment.chunks import chunk_weights, chunked


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_what_fits_is_one_piece_unchanged() -> None:
    assert chunked("Tin ngắn\nMột câu. Hai câu.", 3, 20, words) == ["Tin ngắn\nMột câu. Hai câu."]
    assert chunked("tiêu đề rất dài " * 9, 3, 5, words) == ["tiêu đề rất dài " * 9], (
        "a headline has no chunks"
    )


def test_each_piece_begins_with_the_headline_and_ends_with_a_sentence() -> None:
    text = "Tin dài\nCâu một đây. Câu hai đây! Câu ba đây?\nCâu bốn đây."
    assert chunked(text, 9, 8, words) == [
        "Tin dài\nCâu một đây. Câu hai đây!",
        "Tin dài\nCâu ba đây? Câu bốn đây.",
    ]
    assert chunked(text, 1, 8, words) == ["Tin dài\nCâu một đây. Câu hai đây!"]


def test_a_sentence_that_does_not_fit_is_a_piece_of_its_own() -> None:
    assert len(chunked("T\n" + "a b c d e f. " * 3, 9, 4, words)) == 3


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_the_lead_counts_as_much_as_all_others(pieces: int) -> None:
    weights = chunk_weights(pieces)
    assert len(weights) == pieces
    assert sum(weights) == pytest.approx(1)
    assert weights[0] >= sum(weights[1:])
