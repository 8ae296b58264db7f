"""One run of the recipe: fit the teacher, let it label the titles, fit the student to both."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from training.e5 import find_weights, read_encoder
from training.evaluation import targets
from training.fitting import Example, fit, logits_of
from training.headlines import Headline, fill, read_slots
from training.networks import Student, Teacher
from training.vocabulary import build_tokenizer, kept_pieces

SEED = 20_250_101

TEACHER_EPOCHS = 3
TEACHER_RATE = 5e-5
STUDENT_EPOCHS = 3
STUDENT_RATE = 1.5e-4
HEAD_RATE = 1e-3

TITLES = 4_000
"""Unlabelled titles used, drawn at random; keeps a run short."""

TEMPLATE_FILLS = 2
"""How often each of our own headlines comes in an epoch of the student, newly filled."""

SMOOTHING = 0.1
"""Of a label: annotators of headlines agree on four in five."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a run learns from; ``own`` are templates, ``labelled`` texts as they are."""

    own: Sequence[Headline]
    labelled: Sequence[Headline]
    titles: Sequence[str]


def run(material: Material, say: Callable[[str], None]) -> tuple[Student, PreTrainedTokenizerFast]:
    """Return a fitted student and its tokenizer. Repeatable on one thread of one machine."""
    slots = read_slots()
    rng = random.Random(SEED)
    titles = list(material.titles)
    rng.shuffle(titles)
    titles = titles[:TITLES]

    encoder = read_encoder(find_weights())
    filled = [fill(h.text, slots, rng) for h in material.own for _ in range(3)]
    values = [value for choices in slots.values() for value in choices]
    texts = [*filled, *values, *(h.text for h in material.labelled), *material.titles]
    kept = kept_pieces(encoder, texts)
    tokenizer = build_tokenizer(encoder, kept)
    words = encoder.model.embeddings.word_embeddings.weight[kept].detach().clone()
    encoder.model.embeddings.word_embeddings = torch.nn.Embedding(
        len(kept), words.shape[1], padding_idx=1, _weight=words
    )
    encoder.model.config.vocab_size = len(kept)
    say(f"vocabulary: {len(kept)} pieces")

    fixed = [
        Example(h.text, target) for h, target in zip(material.labelled, _soft(material.labelled), strict=True)
    ]
    own_targets = _soft(material.own)

    def labelled(fills: int) -> list[Example]:
        fresh = [
            Example(fill(h.text, slots, rng), target)
            for h, target in zip(material.own, own_targets, strict=True)
            for _ in range(fills)
        ]
        return fixed + fresh

    torch.manual_seed(SEED)
    teacher = Teacher(encoder.model)
    fit(
        teacher,
        tokenizer,
        lambda _: labelled(1),
        epochs=TEACHER_EPOCHS,
        rate=TEACHER_RATE,
        head_rate=HEAD_RATE,
        seed=SEED,
        say=lambda line: say(f"teacher: {line}"),
    )
    guesses = logits_of(teacher, tokenizer, titles).softmax(dim=-1)
    guessed = [Example(title, guess) for title, guess in zip(titles, guesses, strict=True)]
    say(f"teacher: {len(guessed)} titles labelled")
    student = Student(teacher)
    fit(
        student,
        tokenizer,
        lambda _: labelled(TEMPLATE_FILLS) + guessed,
        epochs=STUDENT_EPOCHS,
        rate=STUDENT_RATE,
        head_rate=HEAD_RATE,
        seed=SEED,
        say=lambda line: say(f"student: {line}"),
    )
    return student, tokenizer


def _soft(headlines: Sequence[Headline]) -> Tensor:
    if not headlines:
        return torch.zeros(0, 3)
    hard = torch.nn.functional.one_hot(targets([h.label for h in headlines]), 3).float()
    return hard * (1 - SMOOTHING) + SMOOTHING / 3
