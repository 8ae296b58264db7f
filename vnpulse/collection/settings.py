"""configs/sources.yaml: what is collected, from whom, how often, and when analyses are scheduled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from vnpulse.configuration import CONFIG_DIR
from vnpulse.market import Exchange
from vnpulse.messages import SYMBOL_PATTERN
from vnpulse.strict_model import FilePath, StrictModel

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=500)]


class CollectionSettings(StrictModel):
    """The section ``collection`` of the settings: whether the pipelines collect, and by which file."""

    enabled: bool = False
    sources: FilePath = Field(default_factory=lambda: CONFIG_DIR / "sources.yaml")


class VnstockSettings(StrictModel):
    """The isolated process that vnstock runs in, and how politely it asks."""

    python: FilePath | None = None
    """A Python that has vnstock; without one an environment is made at first use."""
    scratch: FilePath = Field(default_factory=lambda: Path(".vnpulse/vnstock").absolute())
    """The only folder that the process may write to: its HOME and working directory."""
    calls_per_minute: Annotated[float, Field(gt=0, le=60)] = 15
    call_timeout_s: Annotated[float, Field(ge=1, le=600)] = 40
    api_key: SecretStr | None = None


class PriceSettings(StrictModel):
    """Boards that become bars."""

    sources: Annotated[tuple[Literal["vci", "kbs", "file"], ...], Field(min_length=1)] = ("vci", "kbs")
    """In order: the first is asked, the next ones where it fails."""
    file: FilePath | None = None
    """Bars (parquet, csv, jsonl) that something else keeps up to date, for the source "file"."""
    symbols: tuple[Symbol, ...] = ()
    """Without any, those of the companies file."""
    poll_seconds: Annotated[int, Field(ge=5, le=60)] = 15
    symbols_per_call: Annotated[int, Field(ge=1, le=500)] = 100
    silent_after_s: Annotated[int, Field(ge=30, le=7_200)] = 180
    """So much continuous trading without a single trade of any symbol raises an alert."""


class FeedSettings(StrictModel):
    """One RSS or Atom feed."""

    name: Name
    url: Url
    source: Annotated[str, Field(min_length=1, max_length=60)]
    """The publisher's name as articles carry it."""
    every_s: Annotated[int, Field(ge=60, le=86_400)] = 300
    category: str | None = None
    lead: bool = False
    """For an article that comes without a summary, fetch its page for its first sentences; only where the
    publisher's terms allow it. robots.txt is obeyed."""


class CompanyNewsSettings(StrictModel):
    """Company news of vnstock: one request a symbol, so seldom."""

    symbols: tuple[Symbol, ...] = ()
    every_hours: Annotated[float, Field(ge=1, le=168)] = 12


class NewsSettings(StrictModel):
    """Articles."""

    feeds: tuple[FeedSettings, ...] = ()
    files: tuple[FilePath, ...] = ()
    """Articles (parquet, csv, jsonl), sent whenever the file changes."""
    company_news: CompanyNewsSettings = CompanyNewsSettings()
    user_agent: Annotated[str, Field(min_length=3, max_length=200)] = "vnpulse (news monitor)"
    timeout_s: Annotated[float, Field(ge=1, le=120)] = 20

    @model_validator(mode="after")
    def _feeds_differ(self) -> Self:
        names = [feed.name for feed in self.feeds]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feeds: the name {twice[0]} is given twice")
        return self


class SchedulePoint(StrictModel):
    """An analysis of every symbol, ``minutes`` after the market's ``anchor`` (before it, if negative).

    ``open`` is when trading begins, ``midday`` when the last block before the break ends, ``close`` when
    the last phase ends. A day without a break has no midday.
    """

    name: Name
    anchor: Literal["open", "midday", "close"]
    minutes: Annotated[int, Field(ge=-120, le=480)] = 0


class ScheduleSettings(StrictModel):
    """Scheduled triggers."""

    exchange: Exchange = "HOSE"
    points: tuple[SchedulePoint, ...] = ()
    misfire_grace_minutes: Annotated[int, Field(ge=0, le=1_440)] = 30
    """A point that was missed by no more is made up for, once; an older one is dropped and counted."""

    @model_validator(mode="after")
    def _points_differ(self) -> Self:
        names = [point.name for point in self.points]
        if len(set(names)) < len(names):
            raise ValueError("points: a name is given twice")
        return self


class SourcesFile(StrictModel):
    """configs/sources.yaml. A section that is missing is not collected."""

    prices: PriceSettings | None = None
    news: NewsSettings | None = None
    schedule: ScheduleSettings | None = None
    vnstock: VnstockSettings = Field(default_factory=VnstockSettings)
