"""Any Hugging Face sequence-classification checkpoint as a sentiment model.

torch and transformers are imported when a checkpoint is loaded, and only here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vnpulse.errors import SettingsError
from vnpulse.sentiment.classification import LABELS, Classification, from_probabilities
from vnpulse.sentiment.settings import Label, SentimentSettings

HUB_TIMEOUT_S = 10
"""How long the hub may take to answer; a wrong name or no network must not look like a hang."""

_ALIASES: dict[str, Label] = {
    "neg": "negative",
    "negative": "negative",
    "tiêu cực": "negative",
    "bearish": "negative",
    "neu": "neutral",
    "neutral": "neutral",
    "trung tính": "neutral",
    "trung lập": "neutral",
    "pos": "positive",
    "positive": "positive",
    "tích cực": "positive",
    "bullish": "positive",
}

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class Checkpoint:
    """A ``SentimentModel`` over a loaded checkpoint, in evaluation mode and single precision.

    A text's probabilities depend on the texts that share its batch only through the rounding
    of padded matrix products: within 1e-5 on a CPU and 1e-3 on a GPU.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        classes: Sequence[Label],
        version: str,
        *,
        device: str,
        batch_size: int,
        max_tokens: int,
    ) -> None:
        """``classes[i]`` is what the network's output ``i`` means."""
        self.version = version
        self._network = network
        self._tokenizer = tokenizer
        self._classes = tuple(LABELS.index(label) for label in classes)
        self._device = device
        self._batch_size = batch_size
        self._max_tokens = max_tokens

    @classmethod
    def load(cls, settings: SentimentSettings) -> Checkpoint:
        """Load ``settings.model``, a folder or a name on the hub.

        Of a name on the hub the copy in the local cache is used if there is one; otherwise it
        is fetched, unless HF_HUB_OFFLINE is set. Raises SettingsError, one line.
        """
        name = settings.model
        folder = Path(name).expanduser()
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise SettingsError(f"sentiment.model: {name} is not a checkpoint: it has no config.json")
            source, local = str(folder), True
        elif folder.exists():
            raise SettingsError(f"sentiment.model: {name} is a file, must be the checkpoint's folder")
        elif name.startswith((".", "~", os.sep)) or not _HUB_NAME.fullmatch(name):
            raise SettingsError(f"sentiment.model: {name}: no such folder")
        else:
            source, local = name, False
        # Read when huggingface_hub is first imported; what the user has set stays.
        os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(HUB_TIMEOUT_S))
        os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(HUB_TIMEOUT_S))
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch
        from huggingface_hub import constants

        device = settings.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        elif device.startswith("cuda") and not torch.cuda.is_available():
            raise SettingsError(f"sentiment.device: {device} was asked for, but torch finds no GPU")

        if local:
            config, tokenizer, network = _read(source, local_files_only=True)
        else:
            # The cache first: no request to the hub on each start, and no model that changes
            # under a running deployment.
            try:
                config, tokenizer, network = _read(source, local_files_only=True)
            except SettingsError:
                if constants.HF_HUB_OFFLINE:
                    raise SettingsError(
                        f"sentiment.model: {name} is neither a folder here nor in the local hub cache,"
                        " and HF_HUB_OFFLINE is set"
                    ) from None
                _require_hub(source, settings)
                config, tokenizer, network = _read(source, local_files_only=False)

        classes = _classes(config.id2label, settings.labels, name)
        if local:
            version = f"{folder.resolve().name}+{_content_hash(folder)}"
        else:
            version = f"{name}@{(getattr(config, '_commit_hash', None) or 'unknown')[:12]}"
        network.to(device)
        network.eval()
        return cls(
            network,
            tokenizer,
            classes,
            f"checkpoint/{version}",
            device=device,
            batch_size=settings.batch_size,
            max_tokens=_token_limit(settings.max_tokens, config, tokenizer),
        )

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Return one classification a text, in order. Texts beyond the token limit are cut."""
        if not texts:
            return []
        import torch

        # Each distinct text once, and texts of like length together: padding is wasted work.
        distinct = list(dict.fromkeys(texts))
        encoded = self._tokenizer(distinct, truncation=True, max_length=self._max_tokens)
        order = sorted(range(len(distinct)), key=lambda i: len(encoded["input_ids"][i]))
        answers: dict[str, Classification] = {}
        with torch.inference_mode():
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                batch = self._tokenizer.pad(
                    {key: [values[i] for i in rows] for key, values in encoded.items()}, return_tensors="pt"
                ).to(self._device)
                logits = self._network(**batch).logits
                for i, row in zip(rows, logits.double().softmax(dim=-1).tolist(), strict=True):
                    answers[distinct[i]] = self._answer(row)
        return [answers[text] for text in texts]

    def _answer(self, outputs: Sequence[float]) -> Classification:
        sums = [0.0, 0.0, 0.0]
        for label, probability in zip(self._classes, outputs, strict=True):
            sums[label] += probability
        return from_probabilities(sums[0], sums[1], sums[2])


def _read(source: str, *, local_files_only: bool) -> tuple[Any, Any, Any]:
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    # One line of error is promised; a progress bar in a service's log is noise.
    logging.disable_progress_bar()
    step = "its config.json"
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local_files_only)
        step = "its tokenizer"
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_files_only)
        step = "its weights"
        network, report = AutoModelForSequenceClassification.from_pretrained(
            source, config=config, local_files_only=local_files_only, output_loading_info=True
        )
    except Exception as error:
        raise SettingsError(
            f"sentiment.model: {source}: {step} cannot be loaded: {_first_line(error)}"
        ) from None
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        # transformers would fill them with random numbers and only warn.
        raise SettingsError(
            f"sentiment.model: {source} is not a sequence-classification checkpoint:"
            f" {len(missing)} weights are missing, for example {missing[0]}"
        )
    return config, tokenizer, network


def _require_hub(name: str, settings: SentimentSettings) -> None:
    """Ask the hub once for the model, so that no network is told apart from no such model."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
    except HfHubHTTPError as error:
        raise SettingsError(
            f"sentiment.model: {name} is neither a folder here nor on the hub: {_first_line(error)}"
        ) from None
    except Exception as error:
        raise SettingsError(
            f"sentiment.model: {name} is neither a folder here nor in the local hub cache,"
            f" and the hub does not answer: {_first_line(error)}"
        ) from None


def _classes(id2label: Mapping[Any, str], labels: Mapping[str, Label] | None, name: str) -> list[Label]:
    """Return what each output of the checkpoint means."""
    own = [str(id2label[i]) for i in sorted(id2label, key=int)]
    known = {_plain(key): value for key, value in labels.items()} if labels else _ALIASES
    unknown = [label for label in own if _plain(label) not in known]
    if unknown:
        why = "missing in sentiment.labels" if labels else "say in sentiment.labels what they mean"
        raise SettingsError(
            f"sentiment.model: {name} has the labels {', '.join(own)}: {', '.join(unknown)}: {why}"
        )
    classes = [known[_plain(label)] for label in own]
    lacking = {"negative", "positive"} - set(classes)
    if lacking:
        raise SettingsError(
            f"sentiment.model: {name} has the labels {', '.join(own)}:"
            f" none means {' or '.join(sorted(lacking))}"
        )
    return classes


def _plain(label: str) -> str:
    return label.strip().lower().replace("_", " ")


def _token_limit(wanted: int, config: Any, tokenizer: Any) -> int:
    limits = [wanted, tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa and its kin count positions from two.
        limits.append(positions - 2)
    return max(2, int(min(limits)))


def _content_hash(folder: Path) -> str:
    """Return a short hash of what decides the answers: config, weights and tokenizer files."""
    digest = hashlib.blake2b(digest_size=6)
    suffixes = {".json", ".safetensors", ".bin", ".txt", ".model", ".codes"}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in suffixes):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
