"""Long articles in pieces that fit a model, each under the headline that it belongs to."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_SENTENCE_END = re.compile(r"(?<=[.!?…;])\s+|\n+")


def chunked(
    text: str, most: int, limit: int, count_tokens: Callable[[Sequence[str]], list[int]]
) -> list[str]:
    """Return ``text`` in at most ``most`` pieces of about ``limit`` tokens, in order; the rest is left out.

    Pieces end where sentences do, and each begins with the headline (the first line), because a
    sentence alone seldom says whom it is good for. The first piece is the headline and the lead.
    A text that fits is one piece, unchanged.
    """
    headline, _, body = text.partition("\n")
    sentences = [sentence for sentence in _SENTENCE_END.split(body) if sentence.strip()]
    counts = count_tokens([text, headline, *sentences])
    if counts[0] <= limit or not sentences:
        return [text]
    room = limit - counts[1]
    pieces: list[list[str]] = [[]]
    filled = 0
    for sentence, tokens in zip(sentences, counts[2:], strict=True):
        if pieces[-1] and filled + tokens > room:
            if len(pieces) == most:
                break
            pieces.append([])
            filled = 0
        pieces[-1].append(sentence)
        filled += tokens
    return [f"{headline}\n{' '.join(piece)}" for piece in pieces]


def chunk_weights(pieces: int) -> list[float]:
    """Return the weight of each piece: the first, headline and lead, counts as much as all others."""
    if pieces == 1:
        return [1.0]
    return [0.5, *[0.5 / (pieces - 1)] * (pieces - 1)]
