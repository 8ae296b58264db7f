"""Writing a fitted network as a folder that transformers loads, and asking it as any user would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from training.networks import is_matrix
from vnpulse.sentiment.classification import LABELS


def write_checkpoint(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    temperature: float,
    folder: Path,
    *,
    matrices: torch.dtype,
) -> None:
    """Write config, tokenizer and weights to ``folder``.

    The weights are divided by ``temperature`` in the last layer, so that whoever loads the
    model gets calibrated probabilities without knowing of it. Those that take the room are
    stored as ``matrices``, the others in half precision; the config asks for single precision,
    in which all are then computed.
    """
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    for name in ("classifier.weight", "classifier.bias"):
        state[name] /= temperature
    stored = {
        name: value.to(matrices if is_matrix(name, value) else torch.float16).contiguous()
        for name, value in state.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    save_file(stored, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors keeps it from other users
    config = model.config.to_dict()
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "dtype": "float32",
        "id2label": {str(i): label for i, label in enumerate(LABELS)},
        "label2id": {label: i for i, label in enumerate(LABELS)},
    }
    for name in ("_name_or_path", "transformers_version", "torch_dtype"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    # What fitting set on the tokenizer is no part of it.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        # The name that every version of transformers knows.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.model_max_length,
        "model_input_names": tokenizer.model_input_names,
        **{name: str(token) for name, token in tokenizer.special_tokens_map.items()},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def ask(folder: Path, texts: Sequence[str]) -> Tensor:
    """Return the logits [len(texts), 3] of the model in ``folder``, one text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    return torch.cat(
        [model(**tokenizer(text, truncation=True, return_tensors="pt")).logits for text in texts]
    )
