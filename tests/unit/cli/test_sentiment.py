from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from vnpulse.cli import main

TSV = "title\tn\nHPG lãi kỷ lục\t1\nCổ phiếu VIC bị bán tháo, giảm sàn\t2\nLịch nghỉ lễ\t3\n"
LABELLED = "label\ttext\npositive\tHPG lãi kỷ lục\nnegative\tVIC thua lỗ nặng\nneutral\tLịch nghỉ lễ\n"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Command(Protocol):
    def __call__(self, *arguments: str | Path, stdin: str = "") -> Done: ...


@pytest.fixture
def vnpulse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``vnpulse sentiment`` in this process, as the console script runs it."""

    def run(*arguments: str | Path, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["vnpulse", "sentiment", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    path = tmp_path / "titles.tsv"
    path.write_text(TSV, encoding="utf-8")
    return path


def test_one_line_for_each_input(vnpulse: Command, titles: Path, tmp_path: Path) -> None:
    done = vnpulse(titles, "--model", "lexicon", "--out", tmp_path / "out.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("3 texts in ")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [line["label"] for line in lines] == ["positive", "negative", "neutral"]
    assert [line["line"] for line in lines] == [2, 3, 4]
    assert [list(line["symbols"]) for line in lines] == [["HPG"], ["VIC"], ["VNINDEX"]]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert line["score"] == pytest.approx(
            line["probabilities"]["positive"] - line["probabilities"]["negative"], abs=1e-5
        )
    assert list(tmp_path.glob("*.unfinished")) == []


def test_options_may_come_first_and_standard_input_is_a_file(vnpulse: Command) -> None:
    stdin = '{"headline": "HPG lãi kỷ lục"}\n'
    done = vnpulse("--model", "lexicon", "--text-field", "headline", "-", stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] == "positive"


def test_eval_prints_figures_for_people_and_for_programs(vnpulse: Command, tmp_path: Path) -> None:
    path = tmp_path / "labelled.tsv"
    path.write_text(LABELLED, encoding="utf-8")
    shown = vnpulse("eval", path, "--model", "lexicon")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("macro-F1 1.0000, accuracy 1.0000, 3 texts")
    figures = json.loads(vnpulse("eval", path, "--model", "lexicon", "--json").stdout)
    assert figures["macro_f1"] == figures["accuracy"] == 1
    assert figures["model"].startswith("lexicon/")
    assert figures["confusion"]["negative"] == {"negative": 1, "neutral": 0, "positive": 0}
    assert figures["classes"]["neutral"]["recall"] == 1


def test_mistakes_are_one_line_and_exit_code_2(vnpulse: Command, titles: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tsv"
    wrong.write_text("label\ttext\npositive\tx\nbullish\ty\n", encoding="utf-8")
    blank = tmp_path / "blank.tsv"
    blank.write_text("label\ttext\npositive\t \n", encoding="utf-8")
    cases = [
        (("nowhere.tsv",), "nowhere.tsv: no such file"),
        ((tmp_path,), f"{tmp_path}: cannot be read: Is a directory"),
        ((titles, "--text-field", "headline"), f"{titles}:1: columns are missing: headline; it has title, n"),
        ((titles, "--model", "./nothing"), "no such folder, and none of the presets lexicon, shipped"),
        ((titles, "--model", "lexicon", "--out", tmp_path / "a" / "b"), "cannot be written"),
        ((titles, "--model", "lexicon", "--out", tmp_path), f"--out {tmp_path}: is a folder, must be a file"),
        (("eval", blank, "--model", "lexicon"), f"{blank}:2: text is empty"),
        (("eval", titles), f"{titles}:1: columns are missing: label, text"),
        (("eval", wrong, "--model", "lexicon"), f"{wrong}:3: label was 'bullish', must be one of negative"),
    ]
    for arguments, message in cases:
        done = vnpulse(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_mistake_in_the_middle_leaves_no_output(vnpulse: Command, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"title": "a"}\n' * 600 + "{\n", encoding="utf-8")
    done = vnpulse(path, "--model", "lexicon", "--out", tmp_path / "out.jsonl")
    assert done.returncode == 2
    assert f"{path}:601: not JSON" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.jsonl"]


def test_help_shows_both_forms(vnpulse: Command) -> None:
    done = vnpulse("--help")
    assert done.returncode == 0
    assert "eval" in done.stdout
    assert "vnpulse sentiment FILE" in done.stdout
