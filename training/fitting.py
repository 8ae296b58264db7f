"""Fitting a network to soft labels, and asking it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

BATCH_TOKENS = 1_280
"""With padding; some fifty headlines."""

MAX_TRAINING_TOKENS = 64
_WARMUP = 0.1
_SORTED_TEXTS = 1_024
"""Texts of like length share a batch: they are sorted within stretches of so many."""

_MASK_NUMBERS = 1 << 22


class Example(NamedTuple):
    """A text and the probabilities [3] to learn for it."""

    text: str
    target: Tensor


def fit(
    network: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    epoch: Callable[[int], Sequence[Example]],
    *,
    epochs: int,
    rate: float,
    head_rate: float,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Train ``network`` in place; ``epoch(i)`` gives the examples of epoch ``i``.

    AdamW, a linear warm-up and decay, cross-entropy against soft targets. Layers that do not
    come from the encoder ("classifier", "pooler") learn at ``head_rate``.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    _prepare(network, rng)
    learning = _Learning(network, rate, head_rate)
    steps = epochs * len(_grouped(_tokenized(tokenizer, [e.text for e in epoch(0)]), None))
    step = 0
    for i in range(epochs):
        examples = epoch(i)
        ids = _tokenized(tokenizer, [e.text for e in examples])
        total = 0.0
        network.train()
        for rows in _grouped(ids, rng):
            target = torch.stack([examples[row].target for row in rows]).to(network.device)
            logits = network(**_padded(ids, rows, network)).logits.float()
            loss = -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
            loss.backward()
            warm = min(1.0, (step + 1) / (_WARMUP * steps))
            learning.step(warm * max(0.0, (steps - step) / steps))
            step += 1
            total += loss.item() * len(rows)
        say(f"epoch {i + 1} of {epochs}: {len(examples)} headlines, loss {total / len(examples):.4f}")
    learning.finish()


@torch.no_grad()
def logits_of(
    network: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Tensor:
    """Return the logits [len(texts), 3], in float32."""
    answers = torch.zeros(len(texts), 3)
    if not texts:
        return answers
    network.eval()
    ids = _tokenized(tokenizer, texts)
    for rows in _grouped(ids, None):
        with torch.autocast(network.device.type, torch.bfloat16, enabled=_has_bfloat16(network.device)):
            logits = network(**_padded(ids, rows, network)).logits
        answers[rows] = logits.float().cpu()
    return answers


def _has_bfloat16(device: torch.device) -> bool:
    # Twice as fast where the processor has it, and good enough to learn with.
    return device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()


class _Learning:
    """AdamW in single precision over a network that computes in half of it.

    What is learnt is too fine for bfloat16 to add up. Casting once a step, not in each operation
    as autocast does, saves a third of the time.
    """

    def __init__(self, network: BertForSequenceClassification, rate: float, head_rate: float) -> None:
        """Cast ``network`` to what it learns in; ``finish`` undoes that."""
        self._working = list(network.parameters())
        self._exact = [parameter.detach().float().clone() for parameter in self._working]
        groups: dict[float, list[Tensor]] = {rate: [], head_rate: []}
        for (name, parameter), exact in zip(network.named_parameters(), self._exact, strict=True):
            if parameter.requires_grad:
                groups[head_rate if name.startswith(("classifier", "bert.pooler")) else rate].append(exact)
        self._optimizer = torch.optim.AdamW(
            [{"params": values, "lr": each, "rate": each} for each, values in groups.items()],
            weight_decay=0.01,
            fused=True,
        )
        if _has_bfloat16(network.device):
            network.to(torch.bfloat16)

    def step(self, share: float) -> None:
        """Apply the gradients at ``share`` of the rates, and forget them."""
        for working, exact in zip(self._working, self._exact, strict=True):
            exact.grad = None if working.grad is None else working.grad.float()
            working.grad = None
        nn.utils.clip_grad_norm_(self._exact, 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = group["rate"] * share
        self._optimizer.step()
        with torch.no_grad():
            for working, exact in zip(self._working, self._exact, strict=True):
                if working.requires_grad:
                    working.copy_(exact)

    def finish(self) -> None:
        """Give the network what was learnt, in single precision."""
        for working, exact in zip(self._working, self._exact, strict=True):
            working.data = exact


class _Dropout(nn.Module):
    """Dropout whose masks are stretches of one long random mask; drawing each anew takes as long
    as the matrix products of a small network."""

    def __init__(self, probability: float, rng: random.Random) -> None:
        super().__init__()
        self._probability = probability
        self._rng = rng
        self._mask: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Return ``values``, in training with some of them zero."""
        if not self.training or not self._probability:
            return values
        if self._mask is None or self._mask.dtype != values.dtype:
            kept = torch.rand(_MASK_NUMBERS, device=values.device) >= self._probability
            self._mask = kept.to(values.dtype) / (1 - self._probability)
        start = self._rng.randrange(_MASK_NUMBERS - values.numel())
        return values * self._mask[start : start + values.numel()].view(values.shape)


def _prepare(network: BertForSequenceClassification, rng: random.Random) -> None:
    # With dropout between layers alone, attention is two plain products, which beat the fused
    # kernel's way back by far on a CPU.
    network.set_attn_implementation("eager")
    for layer in network.bert.encoder.layer:
        layer.attention.self.dropout.p = 0.0
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout) and child.p:
                setattr(module, name, _Dropout(child.p, rng))


def _tokenized(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=MAX_TRAINING_TOKENS)[
        "input_ids"
    ]
    return ids


def _padded(
    ids: Sequence[Sequence[int]], rows: Sequence[int], network: BertForSequenceClassification
) -> dict[str, Tensor]:
    padding = network.config.pad_token_id
    inputs = nn.utils.rnn.pad_sequence(
        [torch.tensor(ids[row]) for row in rows], batch_first=True, padding_value=padding
    ).to(network.device)
    return {"input_ids": inputs, "attention_mask": (inputs != padding).long()}


def _grouped(ids: Sequence[Sequence[int]], rng: random.Random | None) -> list[list[int]]:
    """Return batches of rows; without ``rng`` in the order of their length."""
    order = list(range(len(ids)))
    stretch = len(order)
    if rng is not None:
        rng.shuffle(order)
        stretch = _SORTED_TEXTS
    batches: list[list[int]] = []
    for start in range(0, len(order), stretch):
        batch: list[int] = []
        for row in sorted(order[start : start + stretch], key=lambda row: len(ids[row])):
            if batch and len(ids[row]) * (len(batch) + 1) > BATCH_TOKENS:
                batches.append(batch)
                batch = []
            batch.append(row)
        batches.append(batch)
    if rng is not None:
        rng.shuffle(batches)
    return batches
