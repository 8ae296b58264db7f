"""A declared lexicon of Vietnamese financial news: fast, explainable, and no substitute for a model.

It reads from the point of view of someone who holds the stock, where the change matters and not
the word: a loss that narrows is good news, a profit that falls is bad. So besides fixed phrases
the file lists nouns with what their rise means ("lợi nhuận" +, "lỗ" -), directions ("tăng" up,
"giảm" down), and reversers ("thoát", "hoãn", "không còn") that turn what follows around.

A text is read clause by clause:

1. Words are matched longest phrase first; any number matches the 0 of a phrase.
2. A direction takes the noun right after it ("giảm chi phí"), else the nearest one before it
   ("lợi nhuận quý 2 giảm"), also from the clause before if the direction opens its own
   ("lãi 20 tỷ đồng, giảm 30%"). Their product is the value; a noun that moved no longer counts
   by itself.
3. A reverser flips the next value within its reach, an intensifier scales the one before it.
4. A clause that concedes ("dù ...") counts less; one that contrasts ("nhưng ...", "vẫn") more.
5. The headline (first line) counts in full, each later line less; markers of guides, schedules
   and questions damp the whole.

The sum ``s`` becomes probabilities by a softmax over (-a*s, b, a*s), a and b from the file.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from vnpulse.configuration import load_model
from vnpulse.errors import SettingsError
from vnpulse.sentiment.classification import Classification, MatchedPhrase, from_probabilities
from vnpulse.sentiment.settings import Reads
from vnpulse.sentiment.text import fold
from vnpulse.strict_model import StrictModel

Words = Annotated[tuple[str, ...], Field(min_length=1)]
Weight = Annotated[float, Field(ge=-5, le=5)]
Factor = Annotated[float, Field(ge=0, le=5)]
Reach = Annotated[int, Field(ge=0, le=30)]


class PhraseGroup(StrictModel):
    """Phrases that mean the same wherever they stand; weight 0 hides the words inside them."""

    weight: Weight
    words: Words


class NounGroup(StrictModel):
    """Things that move: ``rising`` is what their rise means, ``alone`` what their mention does."""

    rising: Weight
    alone: Weight = 0.0
    words: Words


class DirectionGroup(StrictModel):
    """Movements: ``toward`` is +1 for up and -1 for down (more for stronger words).

    ``alone`` is their value where no noun is found: a stock or an index is then meant.
    """

    toward: Weight
    alone: Weight
    words: Words


class ReverserGroup(StrictModel):
    """Words that turn a value around: good news is multiplied by ``-of_good``, bad by ``-of_bad``."""

    of_good: Factor
    of_bad: Factor
    reach: Reach
    """How many words may stand between the reverser and what it reverses."""
    words: Words


class ScaleGroup(StrictModel):
    """Words that scale: an intensifier the value near it, a marker the whole text."""

    factor: Factor
    words: Words


class ClauseGroup(StrictModel):
    """Words that say how much their clause counts; ``opens`` if a clause begins with them."""

    factor: Factor
    opens: bool
    words: Words


class LexiconFile(StrictModel):
    """``configs/lexicon.yaml``."""

    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.-]{1,30}$")]
    steepness: Annotated[float, Field(gt=0, le=10)]
    """How fast the probability of good or bad news grows with the sum (a in the module's text)."""
    neutral_bias: Annotated[float, Field(ge=0, le=10)]
    """How large steepness * |sum| must be before a text is no longer neutral (b)."""
    body_weight: Factor
    reach_left: Reach
    reach_right: Reach
    phrases: dict[str, PhraseGroup]
    nouns: dict[str, NounGroup]
    directions: dict[str, DirectionGroup]
    reversers: dict[str, ReverserGroup]
    intensifiers: dict[str, ScaleGroup]
    clauses: dict[str, ClauseGroup]
    markers: dict[str, ScaleGroup]


Kind = Literal["phrase", "noun", "direction", "reverser", "intensifier", "clause", "marker"]


class Entry(NamedTuple):
    """One phrase of the lexicon, ready to match; which numbers it uses depends on ``kind``."""

    kind: Kind
    weight: float
    alone: float = 0.0
    of_bad: float = 0.0
    reach: int = 0


def _groups(file: LexiconFile) -> Iterable[tuple[str, Entry, tuple[str, ...]]]:
    for name, phrases in file.phrases.items():
        yield f"phrases.{name}", Entry("phrase", phrases.weight), phrases.words
    for name, nouns in file.nouns.items():
        yield f"nouns.{name}", Entry("noun", nouns.rising, nouns.alone), nouns.words
    for name, way in file.directions.items():
        yield f"directions.{name}", Entry("direction", way.toward, way.alone), way.words
    for name, turn in file.reversers.items():
        entry = Entry("reverser", turn.of_good, of_bad=turn.of_bad, reach=turn.reach)
        yield f"reversers.{name}", entry, turn.words
    for name, clause in file.clauses.items():
        yield f"clauses.{name}", Entry("clause", clause.factor, float(clause.opens)), clause.words
    for name, scale in file.intensifiers.items():
        yield f"intensifiers.{name}", Entry("intensifier", scale.factor), scale.words
    for name, scale in file.markers.items():
        yield f"markers.{name}", Entry("marker", scale.factor), scale.words


# Numbers, words, then what separates clauses; a hyphen inside a word separates nothing.
_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*%?|[^\W\d_]+(?:\d+)?|[.,:;!?…()]| [–—-] |\?")
_INDEX = re.compile(r"\bvn[- ]?index\b")
_NUMBER = "0"
_BREAKS = frozenset(" .,:;!?…()")


def _words(phrase: str) -> tuple[str, ...]:
    return tuple(_stand_ins(_split(phrase)))


def _stand_ins(tokens: list[str]) -> list[str]:
    """Return ``tokens`` with 0 for every number, so that a phrase can ask for "any number"."""
    return [_NUMBER if token[0].isdigit() else token for token in tokens]


def _split(text: str) -> list[str]:
    return _TOKEN.findall(_INDEX.sub("vnindex", fold(text)))


@dataclass(slots=True)
class _Unit:
    """A matched phrase in a clause: tokens ``start <= i < end`` of its line."""

    start: int
    end: int
    clause: int
    entry: Entry
    value: float = 0.0
    valued: bool = False
    first: int = 0
    """Where the valued stretch begins, the noun included."""
    last: int = 0


class Lexicon:
    """A ``SentimentModel`` that looks phrases up in a file; deterministic and needs no download."""

    def __init__(self, file: LexiconFile, digest: str, reads: Reads = "article") -> None:
        """Prepare ``file`` for matching. Raises ValueError if a phrase stands in two groups."""
        self.reads = reads
        self.version = f"lexicon/{file.version}+{digest}"
        self._file = file
        entries: dict[tuple[str, ...], Entry] = {}
        groups: dict[tuple[str, ...], str] = {}
        for group, entry, words in _groups(file):
            for phrase in words:
                tokens = _words(phrase)
                if not tokens:
                    raise ValueError(f"{group}: {phrase!r} has no words")
                if tokens in entries:
                    raise ValueError(f"{group}: {phrase!r} is also in {groups[tokens]}")
                entries[tokens], groups[tokens] = entry, group
        # By first word, longest first: the usual word starts no phrase and costs one look-up.
        starts: dict[str, dict[int, dict[tuple[str, ...], Entry]]] = {}
        for tokens, entry in entries.items():
            starts.setdefault(tokens[0], {}).setdefault(len(tokens), {})[tokens] = entry
        self._starts = {first: sorted(by_length.items(), reverse=True) for first, by_length in starts.items()}

    @classmethod
    def load(cls, path: Path, reads: Reads = "article") -> Lexicon:
        """Read the file at ``path``. Raises SettingsError, one line for each mistake in it."""
        file = load_model(path, LexiconFile)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error}") from None
        try:
            return cls(file, hashlib.blake2b(content, digest_size=4).hexdigest(), reads)
        except ValueError as error:
            raise SettingsError(f"{path}: {error}") from None

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Return one classification a text, in order; equal texts always get equal answers."""
        return [self._classify(text) for text in texts]

    def _classify(self, text: str) -> Classification:
        total = 0.0
        damping = 1.0
        phrases: list[MatchedPhrase] = []
        for number, line in enumerate(filter(None, map(str.strip, text.split("\n")))):
            weight = 1.0 if number == 0 else self._file.body_weight
            if not weight:
                break
            line_sum, line_damping, found = self._read_line(line)
            if number == 0:
                damping = line_damping
            else:
                line_sum *= line_damping
            total += weight * line_sum
            phrases.extend(p._replace(value=round(p.value * weight, 3)) for p in found)
        # A headline that only asks or announces a date stays near neutral whatever follows.
        total *= damping
        push, bias = self._file.steepness * total, self._file.neutral_bias
        top = max(abs(push), bias)
        exps = (math.exp(-push - top), math.exp(bias - top), math.exp(push - top))
        norm = sum(exps)
        return from_probabilities(exps[0] / norm, exps[1] / norm, exps[2] / norm, tuple(phrases))

    def _read_line(self, line: str) -> tuple[float, float, list[MatchedPhrase]]:
        tokens = _split(line)
        units, damping, factors = self._match(tokens)
        if not units:
            return 0.0, damping, []
        self._bind(units)
        self._scale_and_reverse(units)
        total = 0.0
        phrases = []
        for unit in units:
            if unit.valued and unit.value:
                value = unit.value * factors.get(unit.clause, 1.0)
                total += value
                shown = " ".join(t for t in tokens[unit.first : unit.last])
                phrases.append(MatchedPhrase(shown, round(value, 3)))
        return total, damping, phrases

    def _match(self, tokens: list[str]) -> tuple[list[_Unit], float, dict[int, float]]:
        """Return the units in order, the damping of the line, and the factor of each clause."""
        words = _stand_ins(tokens)
        units: list[_Unit] = []
        factors: dict[int, float] = {}
        damping = 1.0
        clause = 0
        begun = False
        i, n = 0, len(words)
        while i < n:
            word = words[i]
            found: Entry | None = None
            length = 1
            for length, by_tokens in self._starts.get(word, ()):
                if i + length <= n and (found := by_tokens.get(tuple(words[i : i + length]))) is not None:
                    break
            if found is None:
                if word[0] in _BREAKS:
                    # An empty clause is none: "(HPG):" breaks once.
                    clause += begun
                    begun = False
                else:
                    begun = True
                i += 1
                continue
            if found.kind == "marker":
                damping = min(damping, found.weight)
            elif found.kind == "clause":
                if found.alone:
                    clause += begun
                factors[clause] = factors.get(clause, 1.0) * found.weight
            else:
                units.append(_Unit(i, i + length, clause, found, first=i, last=i + length))
            begun = True
            i += length
        return units, damping, factors

    def _bind(self, units: list[_Unit]) -> None:
        """Give directions their nouns, and everything else the value that it has alone."""
        taken: set[int] = set()
        for k, unit in enumerate(units):
            if unit.entry.kind != "direction":
                continue
            before = units[k - 1] if k else None
            if before and before.entry.kind == "direction" and before.end == unit.start:
                # "giảm xuống mức thấp nhất" is one movement: its first word says which way.
                unit.first = before.first
                own, first = abs(unit.entry.weight), abs(before.entry.weight)
                unit.value, unit.valued = before.value * (max(own / first, 1.0) if first else 1.0), True
                before.valued = False
                continue
            noun = self._noun_of(units, k, taken)
            unit.valued = True
            if noun is None:
                unit.value = unit.entry.alone
                continue
            taken.add(noun)
            other = units[noun]
            unit.value = unit.entry.weight * other.entry.weight
            unit.first, unit.last = min(unit.first, other.start), max(unit.last, other.end)
            if other.clause != unit.clause:
                unit.first = unit.start
        for k, unit in enumerate(units):
            if unit.entry.kind == "phrase":
                unit.valued, unit.value = True, unit.entry.weight
            elif unit.entry.kind == "noun" and k not in taken:
                unit.valued, unit.value = True, unit.entry.alone

    def _noun_of(self, units: list[_Unit], k: int, taken: set[int]) -> int | None:
        way = units[k]
        right = self._noun_to_the_right(units, k)
        if right is not None and units[right].start - way.end <= 1:
            return right
        for j in range(k - 1, -1, -1):
            other = units[j]
            gap = way.start - other.end
            if other.clause != way.clause:
                opens = not any(u.clause == way.clause for u in units[:k])
                if not opens or other.clause != way.clause - 1 or way.entry.weight == 0:
                    break
            if gap > self._file.reach_left:
                break
            if other.entry.kind == "noun":
                # Two directions may share a noun that came first ("giá tăng rồi giảm").
                return j
            if other.entry.kind == "phrase":
                break
        return right if right is not None and right not in taken else None

    def _noun_to_the_right(self, units: list[_Unit], k: int) -> int | None:
        way = units[k]
        for j in range(k + 1, len(units)):
            other = units[j]
            if other.clause != way.clause or other.start - way.end > self._file.reach_right:
                return None
            if other.entry.kind == "noun":
                follower = units[j + 1] if j + 1 < len(units) else None
                # "giảm khi lợi nhuận tăng": the noun belongs to the direction after it.
                if (
                    follower
                    and follower.entry.kind == "direction"
                    and follower.clause == other.clause
                    and other.start - way.end > 1
                    and follower.start - other.end <= 1
                ):
                    return None
                return j
            if other.entry.kind != "intensifier":
                return None
        return None

    @staticmethod
    def _scale_and_reverse(units: list[_Unit]) -> None:
        for k, unit in enumerate(units):
            if unit.entry.kind == "intensifier":
                for j in range(k - 1, -1, -1):
                    if units[j].clause != unit.clause or unit.start - units[j].end > 3:
                        break
                    if units[j].valued and units[j].value:
                        units[j].value *= unit.entry.weight
                        units[j].last = max(units[j].last, unit.end)
                        break
        # From the right, so that a double negation turns twice.
        for k in range(len(units) - 1, -1, -1):
            unit = units[k]
            if unit.entry.kind != "reverser":
                continue
            near = [
                u
                for u in units
                if u.valued
                and u.value
                and u.clause == unit.clause
                and u.last > unit.end
                and u.start >= unit.end
            ]
            if not near:
                continue
            target = min(near, key=lambda u: max(u.first, unit.end))
            if max(target.first, unit.end) - unit.end > unit.entry.reach:
                continue
            target.value *= -(unit.entry.weight if target.value > 0 else unit.entry.of_bad)
            target.first = min(target.first, unit.start)
