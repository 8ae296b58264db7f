"""The honest figures: a run of the recipe that is kept from all it is then asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.e5 import Encoder
from training.fitting import logits_of
from training.headlines import Headline
from training.networks import rounded
from training.recipe import Material, run


class Unseen(NamedTuple):
    """Headlines that a run is kept from, by how their source begins and ends."""

    name: str
    begins: str
    ends: str = ""

    def has(self, source: str) -> bool:
        """Tell whether headlines of ``source`` belong to it."""
        return source.startswith(self.begins) and source.endswith(self.ends)


UNSEEN = (
    Unseen("2021", "2021"),
    Unseen("November 2025", "2025-11"),
    Unseen("one newspaper of 2025", "2025", "/Tin Nhanh Chứng Khoán"),
)
"""Another year with other writers, the last month, and all that one newspaper wrote. One run is
kept from all three, labelled and unlabelled."""


def seen(material: Material) -> Material:
    """Return ``material`` without all that is to be unseen."""
    hidden = {h.text for h in material.labelled if _is_unseen(h.source)}
    hidden |= {title.text for title in material.titles if _is_unseen(title.source)}
    return Material(
        own=material.own,
        labelled=[h for h in material.labelled if h.text not in hidden],
        titles=[title for title in material.titles if title.text not in hidden],
    )


def unseen(headlines: Sequence[Headline]) -> dict[str, list[Headline]]:
    """Return those of ``headlines`` that are to be unseen, by name."""
    parts = {part.name: [h for h in headlines if part.has(h.source)] for part in UNSEEN}
    return {name: held for name, held in parts.items() if held}


def run_without(
    encoder: Encoder,
    material: Material,
    tests: Mapping[str, Sequence[Headline]],
    say: Callable[[str], None],
) -> dict[str, Tensor]:
    """Run the recipe on what is seen, and return the logits [n, 3] for each of ``tests``."""
    fitted = run(encoder, seen(material), say)
    model = rounded(fitted.model)
    # A headline can be in several tests, with one label or another.
    texts = list(dict.fromkeys(h.text for held in tests.values() for h in held))
    answers = dict(zip(texts, logits_of(model, fitted.tokenizer, texts), strict=True))
    return {name: torch.stack([answers[h.text] for h in held]) for name, held in tests.items()}


def _is_unseen(source: str) -> bool:
    return any(part.has(source) for part in UNSEEN)
