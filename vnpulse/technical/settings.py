"""Settings of technical analysis."""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from vnpulse.messages import INTERVAL_MS, Interval
from vnpulse.strict_model import StrictModel

CONTEXT_INTERVAL: Interval = "1d"
"""The interval whose average range goes with each result, for targets and stops."""

SETTLED = 1e-9
"""When a recursive indicator counts as independent of where its series begins (relative)."""

Period = Annotated[int, Field(ge=2, le=400)]
Weight = Annotated[float, Field(ge=0, le=1)]


class ComponentWeights(StrictModel):
    """How much each component counts; only their proportions matter."""

    trend: Weight = 0.4
    momentum: Weight = 0.35
    mean_reversion: Weight = 0.25

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.trend + self.momentum + self.mean_reversion <= 0:
            raise ValueError("at least one weight must be above zero")
        return self


class TechnicalSettings(StrictModel):
    """Which bars are analysed, over which periods (in bars), and how the score is weighted."""

    intervals: Annotated[tuple[Interval, ...], Field(min_length=1)] = ("1m",)
    """Analysed intervals, the most important first: a request without sources is answered for the
    first of them that has bars."""

    history_bars: Annotated[int, Field(ge=64, le=100_000)] = 512
    """Bars kept of each series; requests can reach back this far. About 0.25 kB a bar."""

    sma_period: Period = 20
    ema_period: Period = 12
    macd_fast: Period = 12
    macd_slow: Period = 26
    macd_signal: Period = 9
    rsi_period: Period = 14
    rsi_change_bars: Annotated[int, Field(ge=1, le=50)] = 3
    """The slope of the RSI is its change over so many bars."""
    bb_period: Period = 20
    bb_deviations: Annotated[float, Field(ge=0.1, le=10)] = 2.0
    atr_period: Period = 14
    activity_period: Period = 20

    weights: ComponentWeights = ComponentWeights()

    @model_validator(mode="after")
    def _periods_fit(self) -> Self:
        if len(set(self.intervals)) != len(self.intervals):
            raise ValueError("intervals must not repeat")
        if self.macd_fast >= self.macd_slow:
            raise ValueError(f"macd_fast was {self.macd_fast}, must be below macd_slow ({self.macd_slow})")
        longest = max(self.sma_period, self.bb_period, self.activity_period + 1, self.rsi_change_bars + 1)
        if longest > self.history_bars:
            raise ValueError(f"history_bars was {self.history_bars}, below the longest window ({longest})")
        return self

    def tracked_intervals(self) -> tuple[str, ...]:
        """Return every interval that state is kept for, shortest first."""
        return tuple(sorted({*self.intervals, CONTEXT_INTERVAL}, key=INTERVAL_MS.__getitem__))

    def warm_up_bars(self) -> int:
        """Return how many bars to load after a restart.

        That is ``history_bars`` and, before them, as many as the slowest recursive indicator
        needs until its seed counts for less than SETTLED, so that a bar is judged the same
        whether the process has run for days or was just restarted.
        """
        longest_ema = max(self.ema_period, self.macd_slow, self.macd_signal)
        longest_wilder = max(self.rsi_period, self.atr_period)
        slowest = max((longest_ema - 1) / (longest_ema + 1), (longest_wilder - 1) / longest_wilder)
        seeds = max(self.macd_slow + self.macd_signal, longest_ema, longest_wilder + 1)
        return self.history_bars + seeds + math.ceil(math.log(SETTLED) / math.log(slowest))

    def digest(self) -> str:
        """Return eight hexadecimal digits that change when anything here does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]
