"""How texts share the network: by length, so that little is padding, and by tokens, not by number.

The padded length of a text depends on its own length alone, never on its neighbours'. On a CPU
that is what makes its answer the same in any company (see vnpulse/sentiment/inference.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

LENGTH_STEP = 8
"""All padded lengths are multiples of this. Must be one for equal answers in any batch."""


class PlannedBatch(NamedTuple):
    """Texts that are read together: their positions, and the length that all are padded to."""

    rows: list[int]
    length: int


def padded_length(tokens: int, limit: int) -> int:
    """Return the length that ``tokens`` tokens are padded to: steps of 8 to 64, 16 to 128, then 32.

    ``limit``, a multiple of LENGTH_STEP, is the longest.
    """
    step = LENGTH_STEP if tokens <= 64 else 16 if tokens <= 128 else 32
    return min(-(-max(tokens, 1) // step) * step, limit)


def plan(lengths: Sequence[int], limit: int, batch_tokens: int) -> list[PlannedBatch]:
    """Return batches over all positions, each of one padded length and about ``batch_tokens`` tokens.

    A text longer than ``batch_tokens`` has a batch of its own. Shortest first.
    """
    of_length: dict[int, list[int]] = defaultdict(list)
    for row, tokens in enumerate(lengths):
        of_length[padded_length(tokens, limit)].append(row)
    batches = []
    for length, rows in sorted(of_length.items()):
        size = max(1, batch_tokens // length)
        batches += [PlannedBatch(rows[i : i + size], length) for i in range(0, len(rows), size)]
    return batches
