"""Fitting a network to soft labels, and asking it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

BATCH = 32
MAX_TRAINING_TOKENS = 64
_WARMUP = 0.1
_SORTED_BATCHES = 16
"""Texts of like length share a batch: they are sorted within stretches of so many batches."""


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
    new = [p for n, p in network.named_parameters() if "classifier" in n or "pooler" in n]
    fresh = {id(p) for p in new}
    old = [p for p in network.parameters() if p.requires_grad and id(p) not in fresh]
    optimizer = torch.optim.AdamW(
        [{"params": old, "lr": rate}, {"params": new, "lr": head_rate}], weight_decay=0.01
    )
    steps = epochs * -(-len(epoch(0)) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min(1.0, (i + 1) / (_WARMUP * steps)) * max(0.0, (steps - i) / steps)
    )
    for i in range(epochs):
        examples = epoch(i)
        total = 0.0
        network.train()
        for rows, inputs in _batches([e.text for e in examples], tokenizer, rng):
            target = torch.stack([examples[row].target for row in rows])
            target = target.to(network.device)
            with _precision(network.device):
                logits = network(**_on(network.device, inputs)).logits
            loss = -(target * logits.float().log_softmax(dim=-1)).sum(dim=-1).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        say(f"epoch {i + 1} of {epochs}: {len(examples)} headlines, loss {total / len(examples):.4f}")


@torch.no_grad()
def logits_of(
    network: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Tensor:
    """Return the logits [len(texts), 3], in float32."""
    if not texts:
        return torch.zeros(0, 3)
    network.eval()
    answers = torch.zeros(len(texts), 3)
    for rows, inputs in _batches(texts, tokenizer, None):
        with _precision(network.device):
            answers[rows] = network(**_on(network.device, inputs)).logits.float().cpu()
    return answers


def _precision(device: torch.device) -> Any:
    # Twice as fast where the processor has it, and good enough to learn with.
    fast = device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def _on(device: torch.device, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in inputs.items()}


def _batches(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, rng: random.Random | None
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    ids = tokenizer(list(texts), truncation=True, max_length=MAX_TRAINING_TOKENS)["input_ids"]
    order = list(range(len(texts)))
    if rng is not None:
        rng.shuffle(order)
    stretch = BATCH * _SORTED_BATCHES
    batches = []
    for start in range(0, len(order), stretch):
        part = sorted(order[start : start + stretch], key=lambda row: len(ids[row]))
        batches += [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
    if rng is not None:
        rng.shuffle(batches)
    for rows in batches:
        padded = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt")
        yield rows, {"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"]}
