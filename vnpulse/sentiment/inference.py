"""Runs a loaded network over tokenized texts. Imports torch; imported with a checkpoint only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from vnpulse.errors import SettingsError
from vnpulse.sentiment.batching import plan
from vnpulse.sentiment.settings import Dtype, SentimentSettings

_ROWS_A_THREAD = 4
"""Matrix products of fewer rows than this go another way through the CPU's kernels and differ in
the last bits; a thread gets its share of the rows."""

DECIMALS = 9
"""Probabilities are given to so many: finer than single precision computes them."""


class Inference:
    """A network on its device.

    On a CPU a text's probabilities are the same, to the last bit, whatever texts are read with
    it and in whatever batches: its padded length depends on its own length alone, and every
    matrix product has a number of rows that the kernels treat alike. This holds for one build
    of torch, one kind of processor and one number of threads. On a GPU, where kernels are
    chosen by the size of the batch, they agree within 1e-3 in single precision and 2e-2 in half.
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
        """Move ``network`` to its device. ``threads`` is used on a CPU only; None leaves torch's.

        Raises SettingsError if the settings ask for what this machine has not.
        """
        self.device = _device(settings.device)
        on_cpu = self.device.type == "cpu"
        if on_cpu:
            _pin_threads(threads)
        dtype = _dtype(settings.dtype, self.device)
        network = network.to(self.device, dtype).eval()
        if on_cpu:
            _keep_rows_alike(network, _ROWS_A_THREAD * torch.get_num_threads())
            if settings.compile:
                raise SettingsError("sentiment.compile: true needs a GPU; on a CPU it does not pay")
        self._network: Any = torch.compile(network, dynamic=True) if settings.compile else network
        self._tokenizer = tokenizer
        self._limit = token_limit
        self._batch_tokens = settings.batch_tokens

    def probabilities(self, encoded: Mapping[str, Sequence[Sequence[int]]]) -> list[list[float]]:
        """Return the probabilities [outputs] of each text in ``encoded``, a tokenizer's unpadded output."""
        lengths = [len(ids) for ids in encoded["input_ids"]]
        answers: list[list[float]] = [[]] * len(lengths)
        with torch.inference_mode():
            for rows, length in plan(lengths, self._limit, self._batch_tokens):
                batch = self._tokenizer.pad(
                    {key: [values[i] for i in rows] for key, values in encoded.items()},
                    padding="max_length",
                    max_length=length,
                    return_tensors="pt",
                ).to(self.device)
                logits = self._network(**batch).logits
                # In the host's double precision, row by row: no kernel to depend on the batch.
                for row, outputs in zip(rows, logits.double().cpu(), strict=True):
                    answers[row] = [round(p, DECIMALS) for p in outputs.softmax(dim=0).tolist()]
        return answers


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


def _pin_threads(threads: int | None) -> None:
    if threads is None:
        return
    torch.set_num_threads(threads)
    # Can be said once in a process, and only before the first parallel work; later is as well,
    # since nothing here runs operators side by side.
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)


def _keep_rows_alike(network: torch.nn.Module, step: int) -> None:
    """Let linear layers that see one row a text work on multiples of ``step`` rows.

    Layers inside the encoder see a row a token, and there are multiples of LENGTH_STEP of those;
    a pooler or a classifier would see one row for a single text.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            layer: Any = module
            layer.forward = _filled_up(layer.forward, step)


def _filled_up(
    forward: Callable[[torch.Tensor], torch.Tensor], step: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    def filled(rows: torch.Tensor) -> torch.Tensor:
        lacking = -len(rows) % step
        if rows.dim() != 2 or not lacking:
            return forward(rows)
        return forward(torch.cat([rows, rows.new_zeros(lacking, rows.shape[1])]))[: len(rows)]

    return filled
