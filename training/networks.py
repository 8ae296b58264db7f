"""The network that is fitted: the starting encoder as an ordinary classifier, nothing left out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, BertModel

from training.vocabulary import MAX_TOKENS
from vnpulse.sentiment.classification import LABELS

STORED = torch.float8_e4m3fn
"""What the matrices of the shipped model are stored in: a byte a number, so that all twelve
layers fit. transformers reads it into the config's single precision without further ado."""


def classifier(encoder: BertModel, words: Tensor) -> BertForSequenceClassification:
    """Return ``encoder`` with the word embeddings ``words`` [pieces, width] and a new classifier.

    The embeddings stay as they are in fitting: words that no training headline has keep their
    place beside those that one has. The pooler starts as the identity, so that the
    classifier begins with what the encoder says.
    """
    settings = encoder.config.to_dict() | {
        "vocab_size": len(words),
        "max_position_embeddings": MAX_TOKENS + 2,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }
    model = BertForSequenceClassification(BertConfig(**settings))
    state = encoder.state_dict()
    state["embeddings.word_embeddings.weight"] = words
    positions, types = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"
    state[positions] = state[positions][: MAX_TOKENS + 2]
    state[types] = state[types][:1]
    width = encoder.config.hidden_size
    state["pooler.dense.weight"] = torch.eye(width)
    state["pooler.dense.bias"] = torch.zeros(width)
    model.bert.load_state_dict(state)
    model.bert.embeddings.requires_grad_(False)
    return model


def mean_of(networks: Sequence[BertForSequenceClassification]) -> BertForSequenceClassification:
    """Return the first of ``networks`` with the mean of all their weights."""
    states = [network.state_dict() for network in networks]
    mean = {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[0]}
    networks[0].load_state_dict(mean)
    return networks[0]


def with_words(model: BertForSequenceClassification, words: Tensor) -> BertForSequenceClassification:
    """Return a copy of ``model`` over another vocabulary, with the word embeddings ``words``."""
    copied = BertForSequenceClassification(
        BertConfig(**(model.config.to_dict() | {"vocab_size": len(words)}))
    )
    state = model.state_dict()
    copied.load_state_dict(state | {"bert.embeddings.word_embeddings.weight": words})
    return copied


def is_matrix(name: str, value: Tensor) -> bool:
    """Tell whether a weight is one of those that take nearly all of the room."""
    return value.ndim == 2 and ("encoder.layer." in name or name.endswith("word_embeddings.weight"))


def rounded(model: BertForSequenceClassification) -> BertForSequenceClassification:
    """Return a copy whose matrices hold only numbers that ``STORED`` can hold."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for name, value in copied.named_parameters():
            if is_matrix(name, value):
                value.copy_(value.to(STORED).float())
    return copied
