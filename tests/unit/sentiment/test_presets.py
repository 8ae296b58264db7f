from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.unit.sentiment.test_checkpoint import make_checkpoint
from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.errors import SettingsError
from vnpulse.sentiment import models
from vnpulse.sentiment.presets import PresetsFile, choose
from vnpulse.sentiment.settings import SentimentSettings


def with_presets(folder: Path, text: str, **more: object) -> SentimentSettings:
    path = folder / "models.yaml"
    path.write_text(text, encoding="utf-8")
    return SentimentSettings.model_validate({"presets": path, **more})


def failure(settings: SentimentSettings) -> str:
    with pytest.raises(SettingsError) as caught:
        models.load_model(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_file_names_the_presets() -> None:
    presets = load_model(CONFIG_DIR / "sentiment_models.yaml", PresetsFile).root
    assert set(presets) == {"shipped", "phobert", "e5"}
    assert presets["phobert"].segmented
    assert SentimentSettings().model == "shipped"


def test_a_preset_says_how_its_model_reads_and_the_settings_go_before_it(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "inner" / "m")
    text = 'm: {folder: inner/m, reads: headline, max_tokens: 16, prefix: "query: "}\n'
    choice = choose(with_presets(tmp_path, text, model="m"))
    assert choice.folder == tmp_path / "inner" / "m"
    assert (choice.reads, choice.max_tokens, choice.prefix) == ("headline", 16, "query: ")
    mine = choose(with_presets(tmp_path, text, model="m", reads="article", max_tokens=64))
    assert (mine.reads, mine.max_tokens) == ("article", 64)
    model = models.load_model(with_presets(tmp_path, text, model="m"))
    assert model.reads == "headline"
    assert model.version.startswith("checkpoint/m+")


def test_a_prefix_is_read_with_each_text(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "m")
    plain = models.load_model(with_presets(tmp_path, "m: {folder: m}\n", model="m"))
    (expected,) = plain.classify(["nợ xấu lãi tăng"])
    prefixed = models.load_model(with_presets(tmp_path, 'm: {folder: m, prefix: "nợ xấu "}\n', model="m"))
    assert prefixed.classify(["lãi tăng"]) == [expected]


def test_a_preset_whose_folder_is_missing_says_what_to_do(tmp_path: Path) -> None:
    settings = with_presets(tmp_path, "e5: {folder: away, hint: make it first}\n", model="e5")
    assert failure(settings).endswith(f"e5: there is no checkpoint at {tmp_path / 'away'}; make it first")


def test_an_unknown_name_lists_the_presets(tmp_path: Path) -> None:
    message = failure(with_presets(tmp_path, "a: {folder: a}\n", model="./b"))
    assert message.endswith("no such folder, and none of the presets lexicon, a")


@pytest.mark.parametrize("preset", ["{}", "{folder: x, hub: y}"])
def test_a_preset_is_in_one_place(tmp_path: Path, preset: str) -> None:
    assert "either folder or hub" in failure(with_presets(tmp_path, f"m: {preset}\n", model="m"))


def test_a_segmented_model_without_a_segmenter_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "pyvi.ViTokenizer", None)
    monkeypatch.setitem(sys.modules, "underthesea", None)
    message = failure(with_presets(tmp_path, "m: {folder: m, segmented: true}\n", model="m"))
    assert message.endswith("neither pyvi nor underthesea is installed; run: pip install pyvi")


def test_a_segmented_model_names_its_segmenter(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "m")
    model = models.load_model(with_presets(tmp_path, "m: {folder: m, segmented: true}\n", model="m"))
    assert "+pyvi-" in model.version
    assert model.classify(["cổ tức tăng\nnợ xấu giảm"])


def test_a_bare_word_is_a_folder_only_if_it_holds_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").mkdir()
    assert SentimentSettings(model="shipped").model == "shipped"
    make_checkpoint(tmp_path / "mine")
    assert SentimentSettings(model="mine").model == os.path.join(tmp_path, "mine")
