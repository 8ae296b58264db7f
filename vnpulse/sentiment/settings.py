"""What can be configured of the sentiment analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from vnpulse.configuration import CONFIG_DIR
from vnpulse.strict_model import FilePath, StrictModel

Label = Literal["negative", "neutral", "positive"]
"""What an article is to someone who holds the stock."""


class SentimentSettings(StrictModel):
    """Which model reads the news, and how long an article counts.

    ``model`` is "lexicon", a folder with a Hugging Face sequence-classification checkpoint, or
    the name of one on the hub. ``labels`` says what the checkpoint's own labels mean, where
    their names do not: ``{"LABEL_0": "negative", ...}``; several may mean the same.
    """

    model: Annotated[str, Field(min_length=1)] = "lexicon"
    labels: dict[str, Label] | None = None
    lexicon: FilePath = CONFIG_DIR / "lexicon.yaml"
    companies: FilePath = CONFIG_DIR / "companies.yaml"
    reads: Literal["article", "headline"] = "article"
    """What the model is given of an article: its headline and body, or the headline alone."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = "auto"
    batch_size: Annotated[int, Field(ge=1, le=4_096)] = 32
    max_tokens: Annotated[int, Field(ge=8, le=8_192)] = 256
    half_life_minutes: Annotated[float, Field(gt=0, le=525_600)] = 720
    """An article counts half after this time, a quarter after twice this time."""
    history_articles: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Most recent articles kept for each symbol."""
    warmup_days: Annotated[int, Field(ge=0, le=3_650)] = 7
    """How much of the news topic's past is loaded at a start, by when the broker got it."""

    @field_validator("model")
    @classmethod
    def _folder_is_absolute(cls, model: str) -> str:
        # As FilePath: the actor that loads it works in a folder of its own. Anything that is no
        # folder here is left as it is, a name on the hub.
        return str(Path(model).absolute()) if Path(model).is_dir() else model
