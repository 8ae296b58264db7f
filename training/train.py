"""``python -m training.train``: make the model that ships with vnpulse, and say how good it is.

Without ``--labelled`` and ``--titles`` it learns from our own headlines alone, which makes a
weaker model, and says so. Each fold is a whole run more; ``--no-folds`` leaves them out, and with
them the temperature and the honest figures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from training.card import card, markdown
from training.checkpoint import ask, write_checkpoint
from training.e5 import find_weights
from training.evaluation import best_temperature, figures
from training.folds import Fold, possible, run_fold
from training.headlines import FOLDER, HELD_OUT, OWN, Headline, annotated, read_labelled, read_titles
from training.networks import Student
from training.recipe import SEED, Material, run
from vnpulse.errors import UserError


def main() -> int:
    """Parse the arguments and do it. Returns the exit code: 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--labelled", type=Path, help="TSV with columns label, text and optionally set")
    parser.add_argument("--titles", type=Path, help="JSON lines with a title each, unlabelled")
    parser.add_argument("--check", type=Path, action="append", default=[], help="labelled TSV, only asked")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--report", type=Path, default=FOLDER, help="folder for report.json and report.md")
    parser.add_argument("--folds", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    arguments = parser.parse_args()
    try:
        _make(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _make(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    find_weights()
    titles = read_titles(arguments.titles) if arguments.titles else []
    labelled = read_labelled(arguments.labelled, "2021") if arguments.labelled else []
    material = Material(
        own=read_labelled(OWN, "own"), labelled=[*labelled, *annotated(titles)], titles=titles
    )
    checks = {HELD_OUT.stem: HELD_OUT, **{path.stem: path for path in arguments.check}}
    checked = {name: read_labelled(path, name) for name, path in checks.items()}
    missing = [f"--{name}" for name in ("labelled", "titles") if getattr(arguments, name) is None]
    if missing:
        print(f"without {' and '.join(missing)}: the model will be weaker than the one that ships")

    folds = possible(material) if arguments.folds else []
    # Each run on one thread, so that it can be repeated; runs beside each other use the cores.
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        last = pool.submit(_run, material)
        asked = [(fold, pool.submit(_run_fold, fold, material)) for fold in folds]
        answers = [(fold, *future.result()) for fold, future in asked]
        student, tokenizer = last.result()

    temperature = 1.0
    if answers:
        pooled = torch.cat([logits for _, logits, _ in answers])
        temperature = best_temperature(pooled, [h.label for _, _, held in answers for h in held])
    write_checkpoint(student, tokenizer, temperature, arguments.out)
    report: dict[str, Any] = {
        "seed": SEED,
        "material": {
            "own": dict(Counter(h.label for h in material.own)),
            **{
                source: dict(Counter(h.label for h in material.labelled if h.source == source))
                for source in sorted({h.source for h in material.labelled})
            },
            "titles": len(titles),
        },
        "missing": missing,
        "temperature": temperature,
        "folds": {
            fold.name: figures(logits, [h.label for h in held], temperature) for fold, logits, held in answers
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


def _run(material: Material) -> tuple[Student, PreTrainedTokenizerFast]:
    torch.set_num_threads(1)
    return run(material, _speaker("final"))


def _run_fold(fold: Fold, material: Material) -> tuple[Tensor, list[Headline]]:
    torch.set_num_threads(1)
    return run_fold(fold, material, _speaker(f"without {fold.name}"))


def _speaker(name: str) -> Callable[[str], None]:
    started = time.monotonic()
    return lambda line: print(f"{time.monotonic() - started:6.0f} s  {name}: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
