"""Which symbols an article is about, and how much.

The article's own ``symbol`` comes first, then tickers and company names in the order in which
the headline, the body and the tags mention them. An article about none is about the market.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from vnpulse.configuration import load_model
from vnpulse.errors import SettingsError
from vnpulse.messages import SYMBOL_PATTERN, NewsItem
from vnpulse.sentiment.prominence import LEAD_CHARACTERS, Mentions, prominence
from vnpulse.sentiment.text import article_text, clean
from vnpulse.strict_model import StrictModel

CONTEXT_CHARACTERS = 24
"""How far around a mention the words are looked for that make it something else."""

_NUMBER = "0"


class Company(StrictModel):
    """One symbol and the names it goes by; see the head of ``configs/companies.yaml``."""

    symbol: Annotated[str, Field(pattern=SYMBOL_PATTERN)]
    exchange: Literal["HOSE", "HNX", "UPCoM"]
    name: Annotated[str, Field(min_length=1)]
    aliases: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    not_after: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    not_before: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    only_after: tuple[Annotated[str, Field(min_length=1)], ...] = ()


class CompaniesFile(StrictModel):
    """``configs/companies.yaml``; ``market`` is what an article about no company is about."""

    market: Company
    companies: tuple[Company, ...]


class _Target(NamedTuple):
    symbol: str
    not_after: re.Pattern[str] | None
    not_before: re.Pattern[str] | None
    only_after: re.Pattern[str] | None

    def is_meant(self, name: str, before: str, after: str) -> bool:
        """Whether ``name`` between these texts stands for the company."""
        if self.only_after and name == self.symbol and not self.only_after.search(before):
            return False
        if self.not_after and self.not_after.search(before):
            return False
        return not (self.not_before and self.not_before.match(after))


class SymbolFinder:
    """Finds symbols in articles; compiled once, then one pass of one pattern a text."""

    def __init__(self, file: CompaniesFile) -> None:
        """Compile ``file``. Raises ValueError if two symbols share a name."""
        self.market = file.market.symbol
        self.companies = {company.symbol: company for company in (file.market, *file.companies)}
        if len(self.companies) != len(file.companies) + 1:
            raise ValueError("a symbol stands there twice")
        self._targets: dict[str, _Target] = {}
        for company in self.companies.values():
            target = _Target(
                company.symbol,
                _before(company.not_after),
                _after(company.not_before),
                _before(company.only_after),
            )
            names = [company.symbol, *map(clean, company.aliases)]
            for name in dict.fromkeys([*names, *(name.upper() for name in names)]):
                known = self._targets.setdefault(name, target)
                if known.symbol != company.symbol:
                    raise ValueError(f"{name!r} names both {known.symbol} and {company.symbol}")
        # Longest first, so that "Chứng khoán SSI" is not cut to "SSI" and a subsidiary that is
        # listed itself is not taken for its parent.
        longest_first = sorted(self._targets, key=lambda name: (-len(name), name))
        # The initials first: most positions of a text fail there, at once.
        initials = "".join(sorted({re.escape(name[0]) for name in longest_first}))
        self._pattern = re.compile(
            rf"(?<!\w)(?=[{initials}])(?:{'|'.join(map(re.escape, longest_first))})(?!\w)"
        )

    @classmethod
    def load(cls, path: Path) -> SymbolFinder:
        """Read the file at ``path``. Raises SettingsError, one line for each mistake in it."""
        try:
            return cls(load_model(path, CompaniesFile))
        except ValueError as error:
            raise SettingsError(f"{path}: {error}") from None

    def symbols_of(self, item: NewsItem) -> tuple[str, ...]:
        """Return the distinct symbols ``item`` is about, the most direct first; never empty."""
        return tuple(self.weights_of(item))

    def weights_of(self, item: NewsItem) -> dict[str, float]:
        """Return ``symbols_of`` with the prominence of each, in (0, 1]; see ``prominence``."""
        return self.weights(article_text(item.title, item.content), item.symbol, item.tags)

    def weights(self, text: str, own: str | None = None, tags: Sequence[str] = ()) -> dict[str, float]:
        """Return the prominence of each symbol that ``text`` is about (``text.article_text``)."""
        mentions: dict[str, Mentions] = {}
        if own:
            mentions[own] = Mentions(own=True)
        headline_end = text.find("\n") if "\n" in text else len(text)
        for symbol, start in self._find(text):
            seen = mentions.setdefault(symbol, Mentions())
            if start < headline_end:
                if seen.headline is None:
                    seen.headline = start / headline_end
            else:
                seen.body += 1
                seen.in_lead = seen.in_lead or start - headline_end < LEAD_CHARACTERS
        for tag in tags:
            # A tag is a whole: "VIC" names the stock, "VIC vs VHM" nothing certain.
            target = self._targets.get(clean(tag))
            if target is not None:
                mentions.setdefault(target.symbol, Mentions()).tag = True
        return prominence(mentions) if mentions else {self.market: 1.0}

    def _find(self, text: str) -> Iterator[tuple[str, int]]:
        for match in self._pattern.finditer(text):
            target = self._targets[match.group()]
            start, end = match.span()
            before, after = (
                text[max(0, start - CONTEXT_CHARACTERS) : start],
                text[end : end + CONTEXT_CHARACTERS],
            )
            if target.is_meant(match.group(), before, after):
                yield target.symbol, start


def _words(words: tuple[str, ...]) -> str:
    return "|".join(r"\d" if word == _NUMBER else re.escape(clean(word)) for word in words)


def _before(words: tuple[str, ...]) -> re.Pattern[str] | None:
    if not words:
        return None
    # A slash joins a pair of currencies, whatever stands before it.
    # "mã chứng khoán HDB" is the stock itself, unlike "chứng khoán HDB".
    return re.compile(rf"(?:(?<![^\W\d])(?<!\bmã )(?:{_words(words)})|\w/)[\s.:\-(]*$", re.IGNORECASE)


def _after(words: tuple[str, ...]) -> re.Pattern[str] | None:
    if not words:
        return None
    return re.compile(rf"[\s\-]*(?:{_words(words)})(?!\w)", re.IGNORECASE)
