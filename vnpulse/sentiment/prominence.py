"""How much of an article is about each symbol that it names.

A symbol collects points: for being the article's own, for the headline (the earlier the more),
for the lead, for how often the body names it, for a tag. Points relative to the most prominent
symbol's are ``r_i``. A reader's attention is divided: with ``k = sum(r)**2 / sum(r**2)``, the
number of symbols that the article is really about (the inverse Simpson index), the weight is
``r_i / sqrt(k)``. An article about one symbol weighs 1; each of ten that a list names weighs 0.32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

LEAD_CHARACTERS = 300
"""How far the beginning of a body counts as its lead: two or three sentences."""

OWN, HEADLINE_FIRST, HEADLINE_LAST, LEAD, TAG = 2.0, 1.5, 1.0, 0.5, 0.25
BODY, BODY_COUNTED = 0.2, 5
"""Points for each mention in the body, and how many mentions count."""

DECIMALS = 4


@dataclass(slots=True)
class Mentions:
    """Where an article names one symbol. ``headline``: how far into it first, in [0, 1)."""

    own: bool = False
    headline: float | None = None
    in_lead: bool = False
    body: int = 0
    tag: bool = False

    def points(self) -> float:
        """Return the points that these add up to, above zero for any mention."""
        points = OWN * self.own + LEAD * self.in_lead + TAG * self.tag
        if self.headline is not None:
            points += HEADLINE_FIRST + (HEADLINE_LAST - HEADLINE_FIRST) * self.headline
        return points + BODY * min(self.body, BODY_COUNTED)


def prominence(mentions: Mapping[str, Mentions]) -> dict[str, float]:
    """Return the weight of each symbol, in (0, 1], in the order given; ``mentions`` is not empty."""
    points = {symbol: of_symbol.points() for symbol, of_symbol in mentions.items()}
    most = max(points.values())
    relative = {symbol: value / most for symbol, value in points.items()}
    total, squares = math.fsum(relative.values()), math.fsum(r * r for r in relative.values())
    divided = math.sqrt(total * total / squares)
    return {symbol: round(r / divided, DECIMALS) for symbol, r in relative.items()}
