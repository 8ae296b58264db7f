"""Folds: the recipe run again without one source, then asked about that source."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from training.fitting import logits_of
from training.headlines import Headline
from training.recipe import Material, run


class Fold(NamedTuple):
    """What is held out: every source whose name begins with ``held_out``."""

    name: str
    held_out: str


FOLDS = (
    Fold("the first group of 2021 annotators", "2021-a"),
    Fold("the second group of 2021 annotators", "2021-b"),
    Fold("the year 2021", "2021"),
    Fold("the year 2025", "2025"),
)


def possible(material: Material) -> list[Fold]:
    """Return the folds that leave something on both sides."""
    sources = [h.source for h in material.labelled]
    return [
        fold
        for fold in FOLDS
        if any(s.startswith(fold.held_out) for s in sources)
        and (material.own or not all(s.startswith(fold.held_out) for s in sources))
    ]


def run_fold(fold: Fold, material: Material, say: Callable[[str], None]) -> tuple[Tensor, list[Headline]]:
    """Return logits [n, 3] for the held-out headlines, and these. The student never saw them,

    neither with their labels nor among the unlabelled titles.
    """
    held = [h for h in material.labelled if h.source.startswith(fold.held_out)]
    texts = {h.text for h in held}
    rest = Material(
        own=material.own,
        labelled=[h for h in material.labelled if h.text not in texts],
        titles=[title for title in material.titles if title not in texts],
    )
    student, tokenizer = run(rest, say)
    return logits_of(student, tokenizer, [h.text for h in held]), held
