"""The preset ``phobert``, with a tiny checkpoint of the same kind where the hub's copy would be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REVISION = "0123456789abcdef" * 2 + "01234567"

READ = """
from vnpulse.errors import SettingsError
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.settings import SentimentSettings

try:
    load_model(SentimentSettings(model="no-such-owner/no-such-model", device="cpu"))
except SettingsError as error:
    print(error)
model = load_model(SentimentSettings(model="phobert", device="cpu"))
segmented, apart = model.classify(["cổ phiếu tăng", "cổ x phiếu tăng"])
print(model.version, segmented.probabilities != apart.probabilities, segmented.label, sep="\\n")
"""


def make_phobert(cache: Path) -> None:
    """Write a random RoBERTa with PhoBERT's tokenizer that knows the word "cổ_phiếu"."""
    import torch
    from transformers import PhobertTokenizer, RobertaConfig, RobertaForSequenceClassification

    repository = cache / "models--wonrax--phobert-base-vietnamese-sentiment"
    folder = repository / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION, encoding="utf-8")
    words = ["cổ_phiếu", "tăng"]
    (folder / "vocab.txt").write_text("".join(f"{word} 1\n" for word in words), encoding="utf-8")
    merges = []
    for word in words:
        done, *rest = [*word[:-1], f"{word[-1]}</w>"]
        for piece in rest:
            merges.append(f"{done} {piece} 1\n")
            done += piece
    (folder / "bpe.codes").write_text("".join(merges), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PhobertTokenizer"}), encoding="utf-8"
    )
    tokenizer = PhobertTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"))
    assert tokenizer.tokenize("cổ_phiếu tăng") == words
    names = dict(enumerate(("NEG", "POS", "NEU")))
    torch.manual_seed(7)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=258,
        type_vocab_size=1,
        initializer_range=1.0,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    model = RobertaForSequenceClassification(config)
    model.classifier.out_proj.bias.data[1] += 8  # its second output, positive, whatever it reads
    model.save_pretrained(folder)


def test_it_is_read_from_the_local_copy_and_what_has_none_is_one_clear_line(tmp_path: Path) -> None:
    make_phobert(tmp_path)
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", READ], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    error, version, told_apart, label = done.stdout.splitlines()
    assert "neither a folder here nor in the local hub cache, and the hub does not answer" in error
    assert version.startswith(f"checkpoint/wonrax/phobert-base-vietnamese-sentiment@{REVISION[:12]}+pyvi-")
    assert (told_apart, label) == ("True", "positive")
