"""What an indicator may be told."""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    """One number of an indicator: its default and the values that make sense, inclusive."""

    name: str
    default: float
    low: float
    high: float
    whole: bool = True


def period(default: int, low: int = 2, name: str = "period") -> Parameter:
    """Return the parameter of a length in bars."""
    return Parameter(name, default, low, 400)
