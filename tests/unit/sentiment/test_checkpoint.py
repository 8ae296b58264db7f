from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from vnpulse.errors import SettingsError
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.settings import SentimentSettings

WORDS = ["lãi", "lỗ", "tăng", "giảm", "cổ", "tức", "nợ", "xấu", "thị", "trường", "đi", "ngang"]


def make_checkpoint(
    folder: Path, labels: tuple[str, ...] = ("NEG", "NEU", "POS"), positions: int = 24
) -> Path:
    """Write a random BERT of a few thousand weights and a word tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = BertTokenizer(
        vocab={word: i for i, word in enumerate(vocabulary)}, do_lower_case=False, strip_accents=False
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=positions,
        initializer_range=1.0,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


def settings(model: Path | str, **more: object) -> SentimentSettings:
    return SentimentSettings.model_validate({"model": str(model), "device": "cpu", **more})


TEXTS = ["lãi tăng", "lỗ", "cổ tức tăng mạnh nợ xấu giảm", "thị trường đi ngang " * 40, "", "lãi tăng"]


def test_a_text_is_read_alike_in_any_batch(checkpoint: Path) -> None:
    together = load_model(settings(checkpoint)).classify(TEXTS)
    single = load_model(settings(checkpoint, batch_tokens=8))
    alone = [single.classify([text])[0] for text in TEXTS]
    assert together == alone, "to the last bit"
    for answer in together:
        assert sum(answer.probabilities) == pytest.approx(1)
    assert together[0] == together[-1]
    assert len({c.probabilities for c in together}) > 2, (
        "the network answers all alike: the test says nothing"
    )
    assert load_model(settings(checkpoint)).classify([]) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_has_the_same_answer_in_any_company(tmp_path: Path, threads: int) -> None:
    """Of every length, in batches of every size and at every place in them: equal bits."""
    import torch

    before = torch.get_num_threads()
    folder = make_checkpoint(tmp_path / "wide", positions=130)
    chooser = random.Random(3)
    texts = [" ".join(chooser.choices(WORDS, k=chooser.randint(1, 120))) for _ in range(96)]
    try:
        model = load_model(settings(folder, threads=threads))
        whole = dict(zip(texts, model.classify(texts), strict=True))
        for size in (1, 2, 3, 5, 8, 13, 31):
            some = chooser.sample(texts, size)
            assert model.classify(some) == [whole[text] for text in some]
        assert len({c.probabilities for c in whole.values()}) > 60, "the network answers all alike"
    finally:
        torch.set_num_threads(before)


def test_a_long_article_is_read_in_chunks(checkpoint: Path) -> None:
    article = "lãi tăng\n" + "lỗ nợ xấu giảm thị trường. " * 8
    (beginning,) = load_model(settings(checkpoint)).classify([article])
    (more,) = load_model(settings(checkpoint, chunks=3)).classify([article])
    assert more != beginning
    assert sum(more.probabilities) == pytest.approx(1)
    (short, alike) = (
        load_model(settings(checkpoint, chunks=n)).classify(["lãi tăng\nthị trường"]) for n in (1, 3)
    )
    assert short == alike


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"dtype": "bfloat16"}, "needs a GPU"),
        ({"compile": True}, "needs a GPU"),
        ({"device": "cuda"}, "torch finds no GPU"),
    ],
)
def test_what_only_a_gpu_can_do(
    checkpoint: Path, wanted: dict[str, object], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert says in failure(checkpoint, **wanted)


def test_the_version_names_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    version = load_model(settings(checkpoint)).version
    assert version.startswith("checkpoint/tiny+")
    copy = make_checkpoint(tmp_path / "tiny", ("negative", "neutral", "positive"))
    assert load_model(settings(copy)).version != version


def test_labels_decide_the_order(checkpoint: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", ("Positive", "neutral", "Negative"))
    (straight,) = load_model(settings(checkpoint)).classify(["lãi tăng"])
    (turned,) = load_model(settings(other)).classify(["lãi tăng"])
    assert turned.probabilities == pytest.approx(straight.probabilities[::-1])
    assert turned.score == pytest.approx(-straight.score)


def test_several_labels_may_mean_the_same(tmp_path: Path) -> None:
    stars = make_checkpoint(tmp_path / "stars", ("1 star", "2 stars", "3 stars", "4 stars", "5 stars"))
    labels = {
        "1 star": "negative",
        "2 stars": "negative",
        "3 stars": "neutral",
        "4 stars": "positive",
        "5 stars": "positive",
    }
    (answer,) = load_model(settings(stars, labels=labels)).classify(["lỗ"])
    assert sum(answer.probabilities) == pytest.approx(1)


def failure(model: Path | str, **more: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_model(settings(model, **more))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_nameless_labels_ask_for_a_mapping(tmp_path: Path) -> None:
    nameless = make_checkpoint(tmp_path / "nameless", ("LABEL_0", "LABEL_1", "LABEL_2"))
    assert "say in sentiment.labels what they mean" in failure(nameless)
    mapping = {"LABEL_0": "negative", "LABEL_1": "neutral", "LABEL_2": "positive"}
    assert load_model(settings(nameless, labels=mapping)).classify(["lãi"])
    assert "LABEL_2: missing in sentiment.labels" in failure(
        nameless, labels={"LABEL_0": "negative", "LABEL_1": "positive"}
    )
    assert "none means negative" in failure(nameless, labels=dict.fromkeys(mapping, "positive"))


def test_what_is_no_checkpoint_is_one_clear_line(checkpoint: Path, tmp_path: Path) -> None:
    assert "no such folder" in failure(tmp_path / "nowhere")
    assert "it has no config.json" in failure(tmp_path)
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in failure(file)
    broken = make_checkpoint(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"not weights")
    assert "its weights cannot be loaded" in failure(broken)
    (broken / "config.json").write_text("{}", encoding="utf-8")
    assert "its config.json cannot be loaded" in failure(broken)


def test_a_model_without_a_classifier_is_refused(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification, BertModel

    folder = make_checkpoint(tmp_path / "headless")
    body: BertModel = BertForSequenceClassification.from_pretrained(folder).bert
    body.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {"0": "NEG", "1": "NEU", "2": "POS"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert "not a sequence-classification checkpoint" in failure(folder)


def test_a_hub_name_offline_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in failure("no-such-owner/no-such-model")


def test_the_lexicon_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from vnpulse.sentiment.models import load_model\n"
        "from vnpulse.sentiment.settings import SentimentSettings\n"
        "from vnpulse.sentiment import analyzer, symbols\n"
        "load_model(SentimentSettings(model='lexicon'))\n"
        "print(sorted({'torch', 'transformers', 'ray', 'kafka', 'pymongo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
