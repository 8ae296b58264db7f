from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.training.tiny_weights import PIECES, write_weights
from training.train import main
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.settings import SentimentSettings


def labelled(path: Path, rows: list[tuple[str, ...]]) -> Path:
    lines = ["\t".join(row) for row in [("label", "text", "set")[: len(rows[0])], *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_one_command_makes_a_model_its_report_and_its_card(tmp_path: Path) -> None:
    write_weights(tmp_path / "weights.bin")
    words = {"positive": "lãi", "negative": "lỗ", "neutral": "abc"}
    own = labelled(
        tmp_path / "own.tsv",
        [(label, f"{word} {{n}} {i}") for label, word in words.items() for i in range(40)],
    )
    theirs = labelled(
        tmp_path / "theirs.tsv",
        [(label, f"{word} xyz {i}", "a") for label, word in words.items() for i in range(4)],
    )
    titles = tmp_path / "titles.jsonl"
    titles.write_text('{"title": "lãi der", "published_at": "2025-10-01", "source": "x"}\n', encoding="utf-8")
    out, whole = tmp_path / "out", tmp_path / "e5"
    options = {
        "--weights": tmp_path / "weights.bin",
        "--own": own,
        "--labelled": theirs,
        "--titles": titles,
        "--check": theirs,
        "--out": out,
        "--e5": whole,
        "--report": tmp_path,
        "--jobs": 1,
    }
    assert main([str(part) for option in options.items() for part in option]) == 0
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["material"]["2021"] == {"positive": 4, "negative": 4, "neutral": 4}
    assert report["unseen"]["2021, as labelled by others"]["count"] == 12
    assert set(report["checks"]) == {"held_out", "theirs"}
    assert "| unseen: 2021, as labelled by others | 12 |" in (tmp_path / "report.md").read_text("utf-8")
    assert "macro-F1" in (out / "README.md").read_text("utf-8")

    pruned, full = (
        load_model(SentimentSettings(model=str(folder), device="cpu")).classify(["lãi", "lỗ"])
        for folder in (out, whole)
    )
    for one, other in zip(pruned, full, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=0.05)
    config = json.loads((whole / "config.json").read_text("utf-8"))
    assert config["vocab_size"] == len(PIECES)


def test_mistakes_are_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(write_weights(tmp_path / "weights.bin"))
    out = str(tmp_path / "out")
    cases = [
        (["--weights", str(tmp_path / "no")], "no: no such file"),
        (["--weights", weights, "--labelled", str(tmp_path / "no.tsv")], "no.tsv: cannot be read"),
        (["--weights", weights, "--check", weights], "weights.bin: cannot be read"),
    ]
    for arguments, message in cases:
        assert main([*arguments, "--out", out]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) == 1
    assert not Path(out).exists()
