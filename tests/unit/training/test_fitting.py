from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.training.tiny_weights import HIDDEN, write_weights
from training.e5 import read_encoder
from training.fitting import Example, fit, logits_of
from training.networks import classifier
from training.vocabulary import build_tokenizer, kept_pieces
from vnpulse.sentiment.classification import LABELS

EXAMPLES = [
    Example(f"{word} {'abc ' * (i % 7)}{i}", torch.eye(len(LABELS))[place])
    for place, word in enumerate(("lỗ", "abc", "lãi"))
    for i in range(40)
]


@pytest.fixture
def fitted(tmp_path: Path) -> list[torch.Tensor]:
    """The logits of two runs alike."""
    runs = []
    for _ in range(2):
        encoder = read_encoder(write_weights(tmp_path / "weights.bin"))
        kept = kept_pieces(encoder, [])
        torch.manual_seed(1)
        words = torch.randn(len(kept), HIDDEN)  # those of the file are all alike to a network
        network, tokenizer = classifier(encoder.model, words), build_tokenizer(encoder, kept)
        fit(
            network,
            tokenizer,
            lambda _: EXAMPLES,
            epochs=40,
            rate=3e-3,
            head_rate=1e-2,
            seed=1,
            say=lambda _: None,
        )
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert torch.equal(network.bert.embeddings.word_embeddings.weight, words)
        runs.append(logits_of(network, tokenizer, [e.text for e in EXAMPLES]))
    return runs


def test_it_learns_and_can_be_repeated(fitted: list[torch.Tensor]) -> None:
    first, second = fitted
    assert torch.equal(first, second)
    truth = torch.stack([e.target for e in EXAMPLES]).argmax(dim=1)
    assert (first.argmax(dim=1) == truth).float().mean() > 0.9
