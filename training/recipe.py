"""One run of the recipe: prune the vocabulary, fit the encoder to all labels thrice, take the mean."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from training.e5 import Encoder
from training.evaluation import targets
from training.fitting import Example, fit
from training.headlines import Headline, Title, fill, read_slots
from training.networks import classifier, mean_of
from training.vocabulary import build_tokenizer, kept_pieces

SEEDS = (20_250_101, 20_250_102, 20_250_103)
"""Of as many fittings, which differ in the order of headlines, in dropout and in how slots are filled. The
mean of their weights is better than each (model soups, Wortsman et al. 2022)."""

EPOCHS = 4
RATE = 1e-4
HEAD_RATE = 5e-4

OWN_COPIES = 2
"""How often an epoch has each of our own headlines, its slots filled anew: they are few, and hold what
newspapers rarely say, a bad thing that falls or an action that is called off."""

SMOOTHING = 0.1
"""Of a label that comes without a belief: two readers of the same headline agree on nine in ten."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a run learns from; ``own`` are templates, ``labelled`` texts as they are."""

    own: Sequence[Headline]
    labelled: Sequence[Headline]
    titles: Sequence[Title]
    """Unlabelled: they say which words the vocabulary needs."""


class Fitted(NamedTuple):
    """A fitted network and the tokenizer over its pruned vocabulary."""

    model: BertForSequenceClassification
    tokenizer: PreTrainedTokenizerFast


def run(encoder: Encoder, material: Material, say: Callable[[str], None]) -> Fitted:
    """Fit ``encoder`` to ``material``. Repeatable on one thread of one machine."""
    slots = read_slots()
    rng = random.Random(SEEDS[0])
    filled = [fill(h.text, slots, rng) for h in material.own for _ in range(3)]
    values = [value for choices in slots.values() for value in choices]
    texts = [
        *filled,
        *values,
        *(h.text for h in material.labelled),
        *(title.text for title in material.titles),
    ]
    kept = kept_pieces(encoder, texts)
    tokenizer = build_tokenizer(encoder, kept)
    say(f"vocabulary: {len(kept)} pieces")

    own_targets = _soft(material.own)
    fixed = [
        Example(h.text, target) for h, target in zip(material.labelled, _soft(material.labelled), strict=True)
    ]

    def examples(_: int) -> list[Example]:
        fresh = [
            Example(fill(h.text, slots, rng), target)
            for h, target in zip(material.own, own_targets, strict=True)
            for _ in range(OWN_COPIES)
        ]
        return fixed + fresh

    words = encoder.model.embeddings.word_embeddings.weight.detach()[kept]
    networks = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = classifier(encoder.model, words).to("cuda" if torch.cuda.is_available() else "cpu")
        fit(network, tokenizer, examples, epochs=EPOCHS, rate=RATE, head_rate=HEAD_RATE, seed=seed, say=say)
        networks.append(network.to("cpu"))
    return Fitted(mean_of(networks), tokenizer)


def _soft(headlines: Sequence[Headline]) -> Tensor:
    """Return what to learn of each of ``headlines``, as probabilities [n, 3]."""
    if not headlines:
        return torch.zeros(0, 3)
    hard = torch.nn.functional.one_hot(targets([h.label for h in headlines]), 3).float()
    soft = hard * (1 - SMOOTHING) + SMOOTHING / 3
    for row, headline in enumerate(headlines):
        if headline.belief is not None:
            soft[row] = torch.tensor(headline.belief)
    return soft
