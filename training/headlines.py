"""The training material: our own headlines, labelled ones of others, and unlabelled titles.

``headlines.tsv`` holds our own, most with slots in braces ("{co} báo lỗ {big} tỷ đồng") that
``fill`` replaces anew each time, so that companies, figures and sectors carry no label. Titles
of others are not in this project: ``annotations.tsv`` has labels for some of them, each under a
hash of the cleaned title, and gives nothing without the titles themselves.
"""

from __future__ import annotations

import csv
import hashlib
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
ANNOTATIONS = FOLDER / "annotations.tsv"
SLOTS = FOLDER / "slots.json"

_SLOT = re.compile(r"\{(\w+)\}")


class Headline(NamedTuple):
    """One labelled headline; ``source`` says whose it is and decides the folds."""

    text: str
    label: Label
    source: str


def read_labelled(path: Path, source: str) -> list[Headline]:
    """Read a TSV with the columns ``label`` and ``text``, and optionally ``set``.

    A set becomes part of the source ("2021-a"). Raises InputFileError.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"{path}: cannot be read: {error}") from None
    headlines = []
    for number, row in enumerate(rows, start=2):
        label, text = row.get("label"), clean(row.get("text") or "")
        if label not in LABELS or not text:
            raise InputFileError(f"{path}:{number}: needs the columns label ({', '.join(LABELS)}) and text")
        name = f"{source}-{row['set']}" if row.get("set") else source
        headlines.append(Headline(text, label, name))
    if not headlines:
        raise InputFileError(f"{path}: has no headlines")
    return headlines


def read_titles(path: Path) -> list[str]:
    """Return the distinct cleaned titles of a JSON-lines file, in order. Raises InputFileError."""
    titles: dict[str, None] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                title = json.loads(line).get("title")
                if not isinstance(title, str):
                    raise InputFileError(f"{path}:{number}: has no title")
                titles.setdefault(clean(title))
    except (OSError, ValueError, AttributeError) as error:
        raise InputFileError(f"{path}: cannot be read as JSON lines: {error}") from None
    titles.pop("", None)
    return list(titles)


def key(title: str) -> str:
    """Return the hash under which ``annotations.tsv`` knows a cleaned title."""
    return hashlib.blake2b(title.encode(), digest_size=8).hexdigest()


def annotated(titles: list[str]) -> list[Headline]:
    """Return those of ``titles`` that ``annotations.tsv`` has a label for."""
    with ANNOTATIONS.open(encoding="utf-8", newline="") as file:
        labels = {row["key"]: row["label"] for row in csv.DictReader(file, delimiter="\t")}
    found = ((title, labels.get(key(title))) for title in titles)
    return [Headline(title, label, "2025") for title, label in found if label in LABELS]


def fill(template: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    """Return ``template`` with a random value in each slot, the first letter a capital."""
    text = _SLOT.sub(lambda match: rng.choice(slots[match.group(1)]), template)
    return clean(text[:1].upper() + text[1:])


def read_slots() -> dict[str, list[str]]:
    """Return the values of each slot."""
    slots: dict[str, list[str]] = json.loads(SLOTS.read_text(encoding="utf-8"))
    return slots
