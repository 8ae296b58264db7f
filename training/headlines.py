"""The training material: our own headlines, labelled ones of others, and unlabelled titles.

``headlines.tsv`` holds our own, most with slots in braces ("{co} báo lỗ {big} tỷ đồng") that
``fill`` replaces anew each time, so that companies, figures and sectors carry no label. Titles
of others are not in this project; ``readings.py`` has what readers made of them.
"""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import NamedTuple

from vnpulse.errors import InputFileError
from vnpulse.sentiment.classification import LABELS
from vnpulse.sentiment.settings import Label
from vnpulse.sentiment.text import clean

FOLDER = Path(__file__).parent
OWN = FOLDER / "headlines.tsv"
HELD_OUT = FOLDER / "held_out.tsv"
SLOTS = FOLDER / "slots.json"

_SLOT = re.compile(r"\{(\w+)\}")


class Title(NamedTuple):
    """An unlabelled title; ``source`` is month and newspaper, "2025-11/VnEconomy"."""

    text: str
    source: str


class Headline(NamedTuple):
    """One labelled headline; ``source`` says when and whose it is and decides what tests hold out."""

    text: str
    label: Label
    source: str
    belief: tuple[float, float, float] | None = None
    """The probabilities of the classes, where several readings gave some; what is learnt."""


def read_labelled(path: Path, source: str) -> list[Headline]:
    """Read a TSV with the columns ``label`` and ``text``, and optionally ``set``.

    A set becomes part of the source ("2021/a"). Raises InputFileError.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    headlines = []
    for number, row in enumerate(rows, start=2):
        label, text = row.get("label"), clean(row.get("text") or "")
        if label not in LABELS or not text:
            raise InputFileError(f"{path}:{number}: needs the columns label ({', '.join(LABELS)}) and text")
        name = f"{source}/{row['set']}" if row.get("set") else source
        headlines.append(Headline(text, label, name))
    if not headlines:
        raise InputFileError(f"{path}: has no headlines")
    return headlines


def read_titles(path: Path) -> list[Title]:
    """Return the distinct cleaned titles of a JSON-lines file, in order. Raises InputFileError.

    A line has ``title``, ``published_at`` (ISO 8601) and ``source``, the newspaper.
    """
    titles: dict[str, Title] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                row = json.loads(line)
                fields = [row.get(name) for name in ("title", "published_at", "source")]
                if not all(isinstance(field, str) for field in fields):
                    raise InputFileError(f"{path}:{number}: needs title, published_at and source")
                text, published, newspaper = clean(fields[0]), fields[1], fields[2]
                titles.setdefault(text, Title(text, f"{published[:7]}/{newspaper}"))
    except (OSError, ValueError, AttributeError) as error:
        raise InputFileError(f"{path}: cannot be read as JSON lines: {error}") from None
    titles.pop("", None)
    return list(titles.values())


def fill(template: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    """Return ``template`` with a random value in each slot, the first letter a capital."""
    text = _SLOT.sub(lambda match: rng.choice(slots[match.group(1)]), template)
    return clean(text[:1].upper() + text[1:])


def read_slots() -> dict[str, list[str]]:
    """Return the values of each slot."""
    slots: dict[str, list[str]] = json.loads(SLOTS.read_text(encoding="utf-8"))
    return slots
