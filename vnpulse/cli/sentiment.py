"""``vnpulse sentiment``: read headlines from a file, or measure a model on labelled ones."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from typer.core import TyperGroup

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out
from vnpulse.errors import InputFileError, UserError
from vnpulse.sentiment.classification import LABELS, SentimentModel
from vnpulse.sentiment.evaluation import Evaluation
from vnpulse.sentiment.headlines import Record, read_records
from vnpulse.sentiment.models import load_model
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.sentiment.symbols import SymbolFinder
from vnpulse.sentiment.text import article_text
from vnpulse.settings import load_settings

CHUNK = 512
"""Texts in memory at once: enough of each length for full batches."""

READ = "read"
STDIN = "-"


class _FileOrCommand(TyperGroup):
    """``sentiment FILE`` and ``sentiment eval FILE`` side by side: what is no command is a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [READ, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_FileOrCommand,
    no_args_is_help=True,
    help="Read headlines: vnpulse sentiment FILE.tsv|FILE.jsonl|- [--out OUT.jsonl].",
)

ModelOption = Annotated[
    str | None,
    typer.Option(
        help="shipped, lexicon, phobert, e5, a checkpoint's folder or hub name [as configured].",
        show_default=False,
    ),
]


@app.command(READ)
def read(
    file: Annotated[str, typer.Argument(help="TSV with a header, or JSON lines; - is standard input.")],
    output: Annotated[str, typer.Option("--out", help="JSON lines; - is standard output.")] = STDIN,
    text_field: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "title",
    model: ModelOption = None,
    config: ConfigOption = DEFAULT,
) -> None:
    """Write one line for each of FILE: label, score in [-1, 1], probabilities, symbols.

    `vnpulse sentiment FILE` is short for this.
    """
    settings = _settings(config, model)
    with _opened(file) as lines, _written(output) as sink:
        records = read_records(_shown(file), lines, text_field)
        first = next(records, None)  # before the model, whose start takes seconds
        finder = SymbolFinder.load(settings.companies)
        reader = load_model(settings)
        began, count = time.monotonic(), 0
        for chunk in _chunks(file, first, records):
            texts = [article_text(record.values[0], "") for record in chunk]
            for record, text, answer in zip(chunk, texts, reader.classify(texts), strict=True):
                line = {
                    "line": record.line,
                    "text": text,
                    "label": answer.label,
                    "score": round(answer.score, 6),
                    "probabilities": {
                        label: round(p, 6) for label, p in zip(LABELS, answer.probabilities, strict=True)
                    },
                    "symbols": finder.weights(text),
                }
                sink.write(msgspec.json.encode(line) + b"\n")
            count += len(chunk)
        _say_what_was_done(reader, count, began)


@app.command("eval")
def evaluate(
    labelled: Annotated[
        str, typer.Argument(help="TSV or JSON lines with label and text; - is standard input.")
    ],
    model: ModelOption = None,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Compare a model with the labels negative, neutral and positive of LABELLED."""
    settings = _settings(config, model)
    evaluation = Evaluation()
    with _opened(labelled) as lines:
        records = read_records(_shown(labelled), lines, "label", "text")
        first = next(records, None)
        reader = load_model(settings)
        began, count = time.monotonic(), 0
        for chunk in _chunks(labelled, first, records):
            texts = []
            for record in chunk:
                if record.values[0] not in LABELS:
                    raise InputFileError(
                        f"{_shown(labelled)}:{record.line}: label was {record.values[0]!r},"
                        f" must be one of {', '.join(LABELS)}"
                    )
                text = article_text(record.values[1], "")
                if not text:
                    raise InputFileError(f"{_shown(labelled)}:{record.line}: text is empty")
                texts.append(text)
            for record, answer in zip(chunk, reader.classify(texts), strict=True):
                evaluation.add(record.values[0], answer.label)  # type: ignore[arg-type]
            count += len(chunk)
        _say_what_was_done(reader, count, began)
    if not count:
        raise InputFileError(f"{_shown(labelled)}: has a header and nothing else")
    figures = {"model": reader.version, **evaluation.figures()}
    if as_json:
        out.print_json(json.dumps(figures))
    else:
        _print_figures(figures)


def _settings(config: Path, model: str | None) -> SentimentSettings:
    settings = load_settings(config).sentiment
    if model is None:
        return settings
    # What the file says of labels and input is about the model that it names.
    ours = settings.model_dump(exclude={"model", "labels", "reads", "max_tokens"})
    return SentimentSettings.model_validate({**ours, "model": model})


def _shown(file: str) -> str:
    return "standard input" if file == STDIN else file


@contextlib.contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    if file == STDIN:
        yield sys.stdin.buffer
        return
    with _open(file) as stream:
        yield stream


def _open(file: str) -> IO[bytes]:
    try:
        return Path(file).open("rb")
    except FileNotFoundError:
        raise InputFileError(f"{file}: no such file") from None
    except OSError as error:
        raise InputFileError(f"{file}: cannot be read: {error.strerror}") from None


@contextlib.contextmanager
def _written(output: str) -> Iterator[IO[bytes]]:
    """Yield where lines go; a file appears under its name when all of it is there."""
    if output == STDIN:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if Path(output).is_dir():
        raise UserError(f"--out {output}: is a folder, must be a file")
    unfinished = Path(f"{output}.unfinished")
    try:
        stream = unfinished.open("wb")
    except OSError as error:
        raise UserError(f"--out {output}: cannot be written: {error.strerror}") from None
    try:
        with stream:
            yield stream
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)


def _chunks(file: str, first: Record | None, records: Iterator[Record]) -> Iterator[Sequence[Record]]:
    """Yield the records in chunks, showing how many are done where somebody watches."""
    everything = itertools.chain([] if first is None else [first], records)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    watched = err.is_terminal and os.environ.get("CI") is None
    with Progress(*columns, console=err, transient=True, disable=not watched) as progress:
        task = progress.add_task(_shown(file), total=None)
        while chunk := list(itertools.islice(everything, CHUNK)):
            yield chunk
            progress.advance(task, len(chunk))


def _say_what_was_done(reader: SentimentModel, count: int, began: float) -> None:
    seconds = time.monotonic() - began
    rate = f", {count / seconds:.0f}/s" if seconds > 0 and count else ""
    err.print(f"{count} texts in {seconds:.1f} s{rate}, {reader.version}", soft_wrap=True)


def _print_figures(figures: dict[str, Any]) -> None:
    out.print(
        f"macro-F1 {figures['macro_f1']:.4f}, accuracy {figures['accuracy']:.4f}, {figures['count']} texts"
    )
    per_class = Table("class", "precision", "recall", "F1", "texts")
    for label, row in figures["classes"].items():
        per_class.add_row(
            label, *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")), str(row["count"])
        )
    out.print(per_class)
    confusion = Table("given \\ answered", *LABELS)
    for label, row in figures["confusion"].items():
        confusion.add_row(label, *(str(row[answered]) for answered in LABELS))
    out.print(confusion)
