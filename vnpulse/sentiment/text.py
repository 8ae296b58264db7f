"""Cleaning of Vietnamese news text, without losing what the analysis needs.

Articles arrive with HTML, entities, decomposed accents and two spellings of the same syllable
("hoá" and "hóa"). ``clean`` keeps case, tickers and numbers; ``fold`` is for matching only.
"""

from __future__ import annotations

import html
import re
import unicodedata

# What is opened and never closed goes on to the end, as in a browser: so each is looked for once, and
# a megabyte of openings costs no more than a megabyte of anything else.
_INVISIBLE_BLOCK = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_LINE_TAG = re.compile(r"<\s*(?:br|/?p|/?div|/?li|/?ul|/?ol|/?h[1-6]|/?tr|/?table)\b[^<>]*>", re.IGNORECASE)
# A tag begins with a letter: "P/E < 10 > 5" is text.
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r" ?\n[\n ]*")
# Zero-width characters and soft hyphens that editors of news sites leave inside words, and the
# control characters that no text needs.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_MOST_PASSES = 8
"""Deeper escaping than this is not text; the bound keeps hostile input cheap."""

# Both placements of the tone mark are correct Vietnamese; one must be chosen to compare words.
# The mark moves only where the two vowels end the syllable ("hoá" but "hoán"), and after "q"
# the "u" is part of the consonant ("quý" has one vowel).
_TONE_PAIRS = {
    "oà": "òa", "oá": "óa", "oả": "ỏa", "oã": "õa", "oạ": "ọa",
    "oè": "òe", "oé": "óe", "oẻ": "ỏe", "oẽ": "õe", "oẹ": "ọe",
    "uỳ": "ùy", "uý": "úy", "uỷ": "ủy", "uỹ": "ũy", "uỵ": "ụy",
}  # fmt: skip
_TONE_PAIRS |= {old.upper(): new.upper() for old, new in _TONE_PAIRS.items()} | {
    old.capitalize(): new.capitalize() for old, new in _TONE_PAIRS.items()
}
_TONE = re.compile(rf"(?<![qQ])(?:{'|'.join(_TONE_PAIRS)})(?!\w)")


def clean(text: str) -> str:
    """Return ``text`` without HTML, in NFC, blanks collapsed, case kept.

    Paragraphs end in one newline. Tone marks are put where the older spelling has them
    ("hoá" gives "hóa"), so that a word has one form. Cleaning twice changes nothing.
    """
    # Feeds escape tags, and sometimes twice, so one pass can uncover work for another.
    for _ in range(_MOST_PASSES):
        cleaned = _clean_once(text)
        if cleaned == text:
            break
        text = cleaned
    return text


def _clean_once(text: str) -> str:
    if "<" in text:
        text = _COMMENT.sub(" ", _INVISIBLE_BLOCK.sub(" ", text))
        text = _TAG.sub("", _LINE_TAG.sub("\n", text))
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        text = _TONE.sub(lambda match: _TONE_PAIRS[match.group()], text)
    text = _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()


def fold(text: str) -> str:
    """Return cleaned ``text`` in lower case, for matching words whatever their case."""
    return clean(text).lower()


def article_text(title: str, content: str) -> str:
    """Return the cleaned headline as the first line and the cleaned body after it.

    Models rely on this shape: the first line is the headline.
    """
    headline = clean(title).replace("\n", " ")
    body = clean(content)
    return f"{headline}\n{body}" if body else headline
