"""Runs a loaded network over tokenized texts. Imports torch; imported with a checkpoint only."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from vnpulse.errors import SettingsError
from vnpulse.sentiment.batching import PlannedBatch, plan
from vnpulse.sentiment.settings import Dtype, SentimentSettings

_ROW_STEPS = ((8, 8), (16, 16), (48, 96))
"""Steps of rows, and the fewest, that matrix products are tried with until a row's bits no longer
depend on their number. Kernels for AVX-512 need the second, those for AVX2 the third."""

_TRIED_ROWS = 192

log = logging.getLogger(__name__)

DECIMALS = 9
"""Probabilities are given to so many: finer than single precision computes them."""


class Inference:
    """A network on its device.

    On a CPU a text's probabilities are the same, to the last bit, whatever texts are read with
    it, in whatever batches and on however many threads: its padded length depends on its own
    length alone, every matrix product has a number of rows that the kernels treat alike, and a
    batch is read by one thread, beside others. This holds for one build of torch and one kind of
    processor. On a GPU, where kernels are chosen by the size of the batch, they agree within 1e-3
    in single precision and 2e-2 in half.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        tokenizer: Any,
        settings: SentimentSettings,
        *,
        token_limit: int,
        threads: int | None,
    ) -> None:
        """Move ``network`` to its device. ``threads`` is used on a CPU only; None for as many as torch's.

        Raises SettingsError if the settings ask for what this machine has not.
        """
        self.device = _device(settings.device)
        on_cpu = self.device.type == "cpu"
        self._threads = (threads or torch.get_num_threads()) if on_cpu else 1
        if on_cpu:
            _one_thread_a_product()
        self._pool = (
            ThreadPoolExecutor(self._threads, "sentiment", initializer=_one_thread_a_product)
            if self._threads > 1
            else None
        )
        dtype = _dtype(settings.dtype, self.device)
        network = network.to(self.device, dtype).eval()
        if on_cpu:
            _keep_rows_alike(network)
            if settings.compile:
                raise SettingsError("sentiment.compile: true needs a GPU; on a CPU it does not pay")
        self._network: Any = torch.compile(network, dynamic=True) if settings.compile else network
        self._tokenizer = tokenizer
        self._limit = token_limit
        self._batch_tokens = settings.batch_tokens

    def probabilities(self, encoded: Mapping[str, Sequence[Sequence[int]]]) -> list[list[float]]:
        """Return the probabilities [outputs] of each text in ``encoded``, a tokenizer's unpadded output."""
        lengths = [len(ids) for ids in encoded["input_ids"]]
        share = -(-sum(lengths) // self._threads)
        batches = plan(lengths, self._limit, min(self._batch_tokens, share))

        def read(batch: PlannedBatch) -> list[tuple[int, list[float]]]:
            return self._read(encoded, batch)

        answers: list[list[float]] = [[]] * len(lengths)
        for rows in (self._pool.map if self._pool else map)(read, batches):
            for row, of_row in rows:
                answers[row] = of_row
        return answers

    @torch.inference_mode()
    def _read(
        self, encoded: Mapping[str, Sequence[Sequence[int]]], batch: PlannedBatch
    ) -> list[tuple[int, list[float]]]:
        padded = self._tokenizer.pad(
            {key: [values[i] for i in batch.rows] for key, values in encoded.items()},
            padding="max_length",
            max_length=batch.length,
            return_tensors="pt",
        ).to(self.device)
        # In the host's double precision, row by row: no kernel to depend on the batch.
        logits = self._network(**padded).logits.double().cpu()
        return [
            (row, [round(p, DECIMALS) for p in outputs.softmax(dim=0).tolist()])
            for row, outputs in zip(batch.rows, logits, strict=True)
        ]


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(f"sentiment.device: {wanted} was asked for, but torch finds no GPU")
    return torch.device(wanted)


def _dtype(wanted: Dtype, device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        if wanted not in ("auto", "float32"):
            raise SettingsError(f"sentiment.dtype: {wanted} needs a GPU; a CPU reads in float32")
        return torch.float32
    if wanted == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    dtype: torch.dtype = getattr(torch, wanted)
    return dtype


def _one_thread_a_product() -> None:
    """Let this thread compute by itself: how a product is shared out decides its last bits."""
    torch.set_num_threads(1)
    # Can be said once in a process, and only before the first parallel work; later is as well,
    # since nothing here runs operators side by side.
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def _keep_rows_alike(network: torch.nn.Module) -> None:
    """Let linear layers work on numbers of rows that this processor's kernels treat alike."""
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    of_shape = {(layer.in_features, layer.out_features): layer for layer in layers}
    with torch.inference_mode():
        for step, fewest in _ROW_STEPS:
            if all(_rows_are_alike(layer, step, fewest) for layer in of_shape.values()):
                break
        else:
            log.warning(
                "sentiment: on this processor the last bits of an answer depend on what is read with it"
            )
    for layer in layers:
        forward: Any = _filled_up(layer.forward, step, fewest)
        layer.forward = forward  # type: ignore[method-assign]


def _rows_are_alike(layer: torch.nn.Linear, step: int, fewest: int) -> bool:
    rows = torch.randn(_TRIED_ROWS, layer.in_features, generator=torch.Generator().manual_seed(0))
    whole = layer(rows)
    return all(torch.equal(layer(rows[:n]), whole[:n]) for n in range(fewest, _TRIED_ROWS, step))


def _filled_up(
    forward: Callable[[torch.Tensor], torch.Tensor], step: int, fewest: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    def filled(inputs: torch.Tensor) -> torch.Tensor:
        rows = inputs.flatten(0, -2)
        count = len(rows)
        lacking = max(fewest, -(-count // step) * step) - count
        if lacking:
            rows = torch.cat([rows, rows.new_zeros(lacking, rows.shape[1])])
        return forward(rows)[:count].view(*inputs.shape[:-1], -1)

    return filled
