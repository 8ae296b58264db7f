"""What can be configured of the sentiment analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from vnpulse.configuration import CONFIG_DIR
from vnpulse.strict_model import FilePath, StrictModel

Label = Literal["negative", "neutral", "positive"]
"""What an article is to someone who holds the stock."""

Reads = Literal["article", "headline"]
"""What a model is given of an article: its headline and body, or the headline alone."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

MaxTokens = Annotated[int, Field(ge=8, le=8_192)]


class SecondReaderSettings(StrictModel):
    """An OpenAI-compatible endpoint that is asked about borderline and high-impact articles.

    Off unless ``url`` is given (with ``model``), for example that of a local Ollama or vLLM:
    ``http://127.0.0.1:11434/v1``. The key comes from SECOND_READER_API_KEY.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    model: str = ""
    api_key: SecretStr | None = None
    margin: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Borderline: the two likeliest labels are so close."""
    impact: Annotated[float, Field(ge=0, le=2)] = 0.95
    """High impact: the score is at least this, either way. Above 1: none is."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 5
    """For one request."""
    patience_s: Annotated[float, Field(gt=0, le=30)] = 1.5
    """How long one analysis waits for all its answers."""
    max_requests_a_call: Annotated[int, Field(ge=1, le=64)] = 8
    max_requests_a_minute: Annotated[int, Field(ge=1, le=100_000)] = 20
    max_requests_a_day: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000

    @model_validator(mode="after")
    def _names_its_model(self) -> Self:
        if self.url is not None and not self.model:
            raise ValueError("url needs model: which one to ask for at the endpoint")
        return self


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
    batch_tokens: Annotated[int, Field(ge=8, le=1_048_576)] = 2_048
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

    second_reader: SecondReaderSettings = SecondReaderSettings()

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
