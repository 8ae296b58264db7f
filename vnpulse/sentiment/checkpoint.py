"""Any Hugging Face sequence-classification checkpoint as a sentiment model.

torch and transformers are imported when a checkpoint is loaded, and only here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnpulse.errors import SettingsError
from vnpulse.sentiment.batching import LENGTH_STEP
from vnpulse.sentiment.chunks import chunk_weights, chunked
from vnpulse.sentiment.classification import LABELS, Classification, from_probabilities
from vnpulse.sentiment.presets import choose
from vnpulse.sentiment.segmentation import Segmenter, find_segmenter
from vnpulse.sentiment.settings import Label, Reads, SentimentSettings

if TYPE_CHECKING:
    from vnpulse.sentiment.inference import Inference

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


class Checkpoint:
    """A ``SentimentModel`` over a loaded checkpoint.

    Equal texts get equal answers in any batch; ``inference.Inference`` says how far that goes.
    """

    def __init__(
        self,
        inference: Inference,
        tokenizer: Any,
        classes: Sequence[Label],
        version: str,
        *,
        reads: Reads,
        segmenter: Segmenter | None,
        prefix: str,
        max_tokens: int,
        chunks: int,
    ) -> None:
        """``classes[i]`` is what the network's output ``i`` means."""
        self.version = version
        self.reads = reads
        self._inference = inference
        self._tokenizer = tokenizer
        self._classes = tuple(LABELS.index(label) for label in classes)
        self._segmenter = segmenter
        self._prefix = prefix
        self._max_tokens = max_tokens
        self._chunks = chunks
        self._own_tokens = len(tokenizer("")["input_ids"])

    @classmethod
    def load(cls, settings: SentimentSettings, threads: int | None = None) -> Checkpoint:
        """Load the checkpoint that ``settings.model`` names.

        Of a name on the hub the copy in the local cache is used if there is one; otherwise it
        is fetched, unless HF_HUB_OFFLINE is set. ``threads``: see ``models.load_model``. Raises
        SettingsError, one line.
        """
        choice = choose(settings)
        segmenter = find_segmenter(choice.name) if choice.segmented else None
        # Read when huggingface_hub is first imported; what the user has set stays.
        os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(HUB_TIMEOUT_S))
        os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(HUB_TIMEOUT_S))
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from vnpulse.sentiment.inference import Inference

        if choice.folder is not None:
            config, tokenizer, network = _read(str(choice.folder), local_files_only=True)
            version = f"{choice.folder.resolve().name}+{_content_hash(choice.folder)}"
        else:
            config, tokenizer, network = _read_from_hub(choice.hub)
            version = f"{choice.hub}@{_commit(choice.hub)[:12]}"
        if segmenter is not None:
            version += f"+{segmenter.name}"
        max_tokens = _token_limit(choice.max_tokens, config, tokenizer)
        return cls(
            Inference(
                network,
                tokenizer,
                settings,
                token_limit=max_tokens,
                threads=settings.threads or threads,
            ),
            tokenizer,
            _classes(config.id2label, choice.labels, choice.name),
            f"checkpoint/{version}",
            reads=choice.reads,
            segmenter=segmenter,
            prefix=choice.prefix,
            max_tokens=max_tokens,
            chunks=settings.chunks,
        )

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Return one classification a text, in order. What the chunks do not reach is not read."""
        if not texts:
            return []
        pieces = {text: self._pieces(text) for text in dict.fromkeys(texts)}
        distinct = list(dict.fromkeys(piece for of_text in pieces.values() for piece in of_text))
        encoded = self._tokenizer(distinct, truncation=True, max_length=self._max_tokens)
        outputs = dict(zip(distinct, self._inference.probabilities(encoded), strict=True))
        answers = {text: self._answer([outputs[piece] for piece in of]) for text, of in pieces.items()}
        return [answers[text] for text in texts]

    def _pieces(self, text: str) -> list[str]:
        if self._segmenter is not None:
            text = self._segmenter.segment(text)
        text = self._prefix + text
        if self._chunks == 1:
            return [text]
        return chunked(text, self._chunks, self._max_tokens - self._own_tokens, self._count_tokens)

    def _count_tokens(self, texts: Sequence[str]) -> list[int]:
        encoded = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _answer(self, outputs: Sequence[Sequence[float]]) -> Classification:
        sums = [0.0, 0.0, 0.0]
        for weight, row in zip(chunk_weights(len(outputs)), outputs, strict=True):
            for label, probability in zip(self._classes, row, strict=True):
                sums[label] += weight * probability
        return from_probabilities(sums[0], sums[1], sums[2])


def _read_from_hub(name: str) -> tuple[Any, Any, Any]:
    from huggingface_hub import constants

    # The cache first: no request to the hub on each start, and no model that changes under a
    # running deployment.
    try:
        return _read(name, local_files_only=True)
    except SettingsError:
        if constants.HF_HUB_OFFLINE:
            raise SettingsError(
                f"sentiment.model: {name} is neither a folder here nor in the local hub cache,"
                " and HF_HUB_OFFLINE is set"
            ) from None
    _require_hub(name)
    return _read(name, local_files_only=False)


def _commit(name: str) -> str:
    """Return the commit of the hub's copy in the local cache, where it stands in the path."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "config.json")
    return Path(path).parent.name if isinstance(path, str) else "unknown"


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


def _require_hub(name: str) -> None:
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
    # Padded lengths are multiples of a step, up to the limit itself.
    return max(LENGTH_STEP, int(min(limits)) // LENGTH_STEP * LENGTH_STEP)


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
