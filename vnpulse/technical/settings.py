"""Settings of technical analysis."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from vnpulse.messages import INTERVAL_MS, Interval
from vnpulse.strict_model import StrictModel

RESAMPLED_FROM: Interval = "1m"

CONTEXT_INTERVAL: Interval = "1d"
"""The interval whose average range goes with each result, for targets and stops."""

SCORED = ("sma", "ema", "macd", "rsi", "bb", "atr", "mfi", "vwap", "volume_z", "activity")
"""The kinds of indicators that ``scoring`` reads."""

Weight = Annotated[float, Field(ge=0, le=1)]


class ComponentWeights(StrictModel):
    """How much each component counts; only their proportions matter."""

    trend: Weight = 0.35
    momentum: Weight = 0.3
    mean_reversion: Weight = 0.2
    volatility: Weight = 0.05
    volume: Weight = 0.1

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.trend + self.momentum + self.mean_reversion + self.volatility + self.volume <= 0:
            raise ValueError("at least one weight must be above zero")
        return self


class TechnicalSettings(StrictModel):
    """Which bars are analysed, with which indicators, and how the score is weighted."""

    intervals: Annotated[tuple[Interval, ...], Field(min_length=1)] = ("1m",)
    """Analysed intervals, the most important first: a request without sources is answered for the
    first of them that has bars."""

    history_bars: Annotated[int, Field(ge=64, le=100_000)] = 512
    """Bars kept of each series; requests can reach back this far. About 0.25 kB a bar."""

    late_bars: Annotated[int, Field(ge=1, le=10_000)] = 64
    """A bar that comes late is put in its place if fewer than so many bars came after it, and what
    follows is computed anew; an older one is stored and counted only."""

    resample: tuple[Literal["5m", "15m", "1h"], ...] = ()
    """Intervals that are made here from bars of RESAMPLED_FROM instead of taken from the topic."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where indicators are computed; the numbers are the same. cuda: an NVIDIA GPU; whether that pays is
    in docs/indicators.md."""

    indicators: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "sma:20",
        "ema:12",
        "macd:12:26:9",
        "rsi:14",
        "bb:20:2",
        "atr:14",
        "adx:14",
        "mfi:14",
        "vwap",
        "volume_z:20",
        "activity:20",
    )
    """What is computed of every bar, as KIND:PARAMETER:...; all of it is in a result's details. The
    score uses the first one of each kind in SCORED."""

    weights: ComponentWeights = ComponentWeights()

    @field_validator("indicators")
    @classmethod
    def _indicators_are_known(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        # Imported here: it brings numba, which a process that only reads settings does without.
        from vnpulse.indicators.catalogue import IndicatorSet, parse

        specs = [parse(text) for text in texts]
        missing = [kind for kind in SCORED if kind not in {spec.kind for spec in specs}]
        if missing:
            raise ValueError(f"the score needs {', '.join(missing)} as well")
        IndicatorSet(specs)
        return texts

    @model_validator(mode="after")
    def _intervals_fit(self) -> Self:
        for name, intervals in (("intervals", self.intervals), ("resample", self.resample)):
            if len(set(intervals)) != len(intervals):
                raise ValueError(f"{name} must not repeat")
        return self

    def tracked_intervals(self) -> tuple[str, ...]:
        """Return every interval that state is kept for, shortest first."""
        source = (RESAMPLED_FROM,) if self.resample else ()
        kept = {*self.intervals, *self.resample, *source, CONTEXT_INTERVAL}
        return tuple(sorted(kept, key=INTERVAL_MS.__getitem__))

    def digest(self) -> str:
        """Return eight hexadecimal digits that change when anything here does but the device."""
        return hashlib.sha256(self.model_dump_json(exclude={"device"}).encode()).hexdigest()[:8]
