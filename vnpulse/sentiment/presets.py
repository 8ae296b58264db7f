"""Models by name: what ``sentiment.model`` can say short for a checkpoint and how it wants its input.

Presets are data (``configs/sentiment_models.yaml``). What the settings say themselves goes before
what the preset says.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, RootModel, model_validator

from vnpulse.configuration import load_model
from vnpulse.errors import SettingsError
from vnpulse.sentiment.settings import Label, MaxTokens, Reads, SentimentSettings
from vnpulse.strict_model import StrictModel

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class Preset(StrictModel):
    """One entry of the file; its head says what the keys mean."""

    folder: Annotated[str, Field(min_length=1)] | None = None
    hub: Annotated[str, Field(pattern=rf"^{_HUB_NAME.pattern}$")] | None = None
    labels: dict[str, Label] | None = None
    reads: Reads = "article"
    max_tokens: MaxTokens = 256
    segmented: bool = False
    prefix: str = ""
    hint: str = ""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.folder is None) == (self.hub is None):
            raise ValueError("either folder or hub must be given, and not both")
        return self


class PresetsFile(RootModel[dict[str, Preset]]):
    """``configs/sentiment_models.yaml``: presets by name."""


@dataclass(frozen=True, slots=True)
class CheckpointChoice:
    """Where a checkpoint is and how it wants its input, after settings and preset."""

    name: str
    """As the settings name it."""
    folder: Path | None
    """None for one on the hub."""
    hub: str
    labels: dict[str, Label] | None
    reads: Reads
    max_tokens: int
    segmented: bool
    prefix: str


def choose(settings: SentimentSettings) -> CheckpointChoice:
    """Return the checkpoint that ``settings.model`` names: a preset, a folder, or a name on the hub.

    Raises SettingsError if it is none of these, or a folder without a checkpoint.
    """
    name = settings.model
    presets = load_model(settings.presets, PresetsFile).root
    preset = presets.get(name)
    if preset is None:
        return _chosen(settings, _unnamed(name, presets), Path(name).expanduser())
    if preset.folder is None:
        return _chosen(settings, preset, None)
    folder = (settings.presets.parent / preset.folder).resolve()
    if not (folder / "config.json").is_file():
        hint = f"; {preset.hint}" if preset.hint else ""
        raise SettingsError(f"sentiment.model: {name}: there is no checkpoint at {folder}{hint}")
    return _chosen(settings, preset, folder)


def _unnamed(name: str, presets: dict[str, Preset]) -> Preset:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise SettingsError(f"sentiment.model: {name} is not a checkpoint: it has no config.json")
        return Preset(folder=name)
    if folder.exists():
        raise SettingsError(f"sentiment.model: {name} is a file, must be the checkpoint's folder")
    if name.startswith((".", "~", os.sep)) or not _HUB_NAME.fullmatch(name):
        known = ", ".join(["lexicon", *presets])
        raise SettingsError(f"sentiment.model: {name}: no such folder, and none of the presets {known}")
    return Preset(hub=name)


def _chosen(settings: SentimentSettings, preset: Preset, folder: Path | None) -> CheckpointChoice:
    return CheckpointChoice(
        name=settings.model,
        folder=None if preset.folder is None else folder,
        hub=preset.hub or "",
        labels=settings.labels or preset.labels,
        reads=settings.reads or preset.reads,
        max_tokens=settings.max_tokens or preset.max_tokens,
        segmented=preset.segmented,
        prefix=preset.prefix,
    )
