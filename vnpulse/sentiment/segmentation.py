"""Vietnamese word segmentation for models that were trained on it: "cổ phiếu" as "cổ_phiếu".

The segmenters are optional packages, imported when a model asks for one and only here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from vnpulse.errors import SettingsError


class Segmenter(NamedTuple):
    """``segment`` joins the syllables of each word by underscores and keeps lines apart."""

    name: str
    """Package and version: another segmenter gives other answers."""
    segment: Callable[[str], str]


def find_segmenter(model: str) -> Segmenter:
    """Return pyvi's segmenter, or underthesea's where pyvi is not installed.

    Raises SettingsError, on behalf of ``model``, if neither can be imported.
    """
    for package, module, make in (
        ("pyvi", "pyvi.ViTokenizer", _pyvi),
        ("underthesea", "underthesea", _underthesea),
    ):
        try:
            with warnings.catch_warnings():
                # About the packages' own sources, when Python first compiles them.
                warnings.simplefilter("ignore")
                segment = make(importlib.import_module(module))
        except ImportError:
            continue
        return Segmenter(f"{package}-{importlib.metadata.version(package)}", _by_line(segment))
    raise SettingsError(
        f"sentiment.model: {model} reads segmented words, and neither pyvi nor underthesea is"
        " installed; run: pip install pyvi"
    )


def _pyvi(module: Any) -> Callable[[str], str]:
    tokenize: Callable[[str], str] = module.tokenize
    return tokenize


def _underthesea(module: Any) -> Callable[[str], str]:
    return lambda line: str(module.word_tokenize(line, format="text"))


def _by_line(segment: Callable[[str], str]) -> Callable[[str], str]:
    # Either would join the headline to the body.
    return lambda text: "\n".join(segment(line) if line else "" for line in text.split("\n"))
