"""What can be configured of the sentiment analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from vnpulse.configuration import CONFIG_DIR
from vnpulse.strict_model import FilePath, StrictModel

Label = Literal["negative", "neutral", "positive"]
"""What an article is to someone who holds the stock."""

Reads = Literal["article", "headline"]
"""What a model is given of an article: its headline and body, or the headline alone."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

MaxTokens = Annotated[int, Field(ge=8, le=8_192)]


class SentimentSettings(StrictModel):
    """Which model reads the news, and how long an article counts.

    ``model`` is "lexicon", the name of a preset (``configs/sentiment_models.yaml``), a folder
    with a Hugging Face sequence-classification checkpoint, or the name of one on the hub.
    ``labels`` says what the checkpoint's own labels mean, where their names do not:
    ``{"LABEL_0": "negative", ...}``; several may mean the same.
    """

    model: Annotated[str, Field(min_length=1)] = "shipped"
    labels: dict[str, Label] | None = None
    lexicon: FilePath = CONFIG_DIR / "lexicon.yaml"
    companies: FilePath = CONFIG_DIR / "companies.yaml"
    presets: FilePath = CONFIG_DIR / "sentiment_models.yaml"
    reads: Reads | None = None
    """What the model is given of an article; unless given, what its preset says, else the article."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = "auto"
    dtype: Dtype = "auto"
    """What the network computes in: on a GPU half precision unless said otherwise, on a CPU float32."""
    compile: bool = False
    """Whether ``torch.compile`` translates the network, on a GPU only: minutes at the first batches."""
    threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """CPU threads of one actor; unless given, its num_cpus rounded up."""
    batch_tokens: Annotated[int, Field(ge=8, le=1_048_576)] = 1_024
    """How many tokens, with padding, are read at once."""
    max_tokens: MaxTokens | None = None
    """Where texts are cut; unless given, what the model's preset says, else 256."""
    chunks: Annotated[int, Field(ge=1, le=64)] = 1
    """Of an article that is longer than max_tokens, in how many pieces its beginning is read."""
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
        # folder here is left as it is, a preset or a name on the hub; so is a bare word whose
        # folder is no checkpoint.
        folder = Path(model)
        bare = len(folder.parts) == 1 and not model.startswith(".")
        is_model = (folder / "config.json").is_file() if bare else folder.is_dir()
        return str(folder.absolute()) if is_model else model
