"""The exchanges' rules: sessions, calendar, tick sizes and price limits, from configs/market.yaml."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.strict_model import StrictModel

Exchange = Literal["HOSE", "HNX", "UPCoM"]

_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"

_ROUNDING = {"nearest": ROUND_HALF_UP, "down": ROUND_FLOOR, "up": ROUND_CEILING}


def _after_midnight_ms(time_of_day: str) -> int:
    hours, minutes = time_of_day.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000


class TickStep(StrictModel):
    """Prices below ``below`` VND move in steps of ``tick`` VND; without ``below``, all the rest."""

    tick: Annotated[int, Field(ge=1)]
    below: Annotated[int, Field(ge=1)] | None = None


class Phase(StrictModel):
    """A part of the trading day, local time, its end not included.

    ``ato`` and ``atc`` collect orders for the opening and the closing auction, ``plo`` trades at
    the closing price.
    """

    kind: Literal["ato", "continuous", "atc", "plo"]
    begin: Annotated[str, Field(pattern=_TIME_OF_DAY)]
    end: Annotated[str, Field(pattern=_TIME_OF_DAY)]

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.begin_ms >= self.end_ms:
            raise ValueError(f"end was {self.end}, must be after begin ({self.begin})")
        return self

    @property
    def begin_ms(self) -> int:
        """Milliseconds after midnight."""
        return _after_midnight_ms(self.begin)

    @property
    def end_ms(self) -> int:
        """Milliseconds after midnight."""
        return _after_midnight_ms(self.end)


class ExchangeRules(StrictModel):
    """One exchange."""

    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    price_limit_pct: Annotated[float, Field(gt=0, lt=100)]
    reference: Literal["close", "average"]
    """What of the day before limits are measured from: the close, or the average price by volume."""
    ticks: tuple[TickStep, ...]

    @model_validator(mode="after")
    def _phases_follow_each_other(self) -> Self:
        for before, after in pairwise(self.phases):
            if after.begin_ms < before.end_ms:
                raise ValueError(f"phases: {after.kind} begins at {after.begin}, before {before.end}")
        return self

    @property
    def opening_auction(self) -> Phase | None:
        """The phase before the first trade of the day, if the exchange has one."""
        return self.phases[0] if self.phases[0].kind == "ato" else None

    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Return the stretches of trading without a break: (begin, end), milliseconds after midnight."""
        joined: list[tuple[int, int]] = []
        for phase in self.phases:
            if joined and joined[-1][1] == phase.begin_ms:
                joined[-1] = joined[-1][0], phase.end_ms
            else:
                joined.append((phase.begin_ms, phase.end_ms))
        return tuple(joined)

    @model_validator(mode="after")
    def _steps_ascend_and_end_open(self) -> Self:
        bounds = [step.below for step in self.ticks]
        if not bounds or bounds[-1] is not None or None in bounds[:-1]:
            raise ValueError("ticks: the last step, and only the last, has no 'below'")
        if any(a >= b for a, b in pairwise(step.below for step in self.ticks[:-1])):  # type: ignore[operator]
            raise ValueError("ticks: 'below' must ascend")
        return self


class HalfDay(StrictModel):
    """A trading day on which trading ends early, at ``ends`` local time."""

    date: dt.date
    ends: Annotated[str, Field(pattern=_TIME_OF_DAY)]

    @property
    def ends_ms(self) -> int:
        """Milliseconds after midnight."""
        return _after_midnight_ms(self.ends)


class CalendarRules(StrictModel):
    """On which days the exchanges trade: Monday to Friday without the public holidays of ``country``
    (as the package holidays knows them), corrected by what the exchanges announced."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "VN"
    extra_closed: tuple[dt.date, ...] = ()
    extra_open: tuple[dt.date, ...] = ()
    half_days: tuple[HalfDay, ...] = ()

    @model_validator(mode="after")
    def _days_are_given_once(self) -> Self:
        both = sorted(set(self.extra_closed) & {*self.extra_open, *(half.date for half in self.half_days)})
        if both:
            raise ValueError(f"{both[0]} is closed (extra_closed) and open (extra_open or half_days)")
        if len({half.date for half in self.half_days}) < len(self.half_days):
            raise ValueError("half_days: a date stands there twice")
        return self


class MarketRules(StrictModel):
    """configs/market.yaml."""

    as_of: str
    calendar: CalendarRules = CalendarRules()
    exchanges: Annotated[dict[Exchange, ExchangeRules], Field(min_length=1)]
    indices: tuple[str, ...]

    def tick_vnd(self, exchange: Exchange, price: float) -> int:
        """Return the tick size in VND at ``price`` thousand VND."""
        vnd = Decimal(repr(float(price))) * 1000
        steps = self.exchanges[exchange].ticks
        return next(step.tick for step in steps if step.below is None or vnd < step.below)

    def round_to_tick(
        self, exchange: Exchange, price: float, direction: Literal["nearest", "down", "up"] = "nearest"
    ) -> float:
        """Return ``price`` (thousand VND) on the tick grid; exact, computed in whole VND."""
        tick = self.tick_vnd(exchange, price)
        steps = (Decimal(repr(float(price))) * 1000 / tick).to_integral_value(_ROUNDING[direction])
        return float(steps * tick / 1000)

    def price_limits(self, exchange: Exchange, reference: float) -> tuple[float, float]:
        """Return (floor, ceiling) of the day, thousand VND, for a ``reference`` price.

        The ceiling is rounded down to the tick and the floor up, so neither passes the limit.
        """
        limit = Decimal(repr(self.exchanges[exchange].price_limit_pct)) / 100
        base = Decimal(repr(float(reference)))
        return (
            self.round_to_tick(exchange, float(base * (1 - limit)), "up"),
            self.round_to_tick(exchange, float(base * (1 + limit)), "down"),
        )


def load_market(path: Path = CONFIG_DIR / "market.yaml") -> MarketRules:
    """Read the market's rules. Raises SettingsError."""
    return load_model(path, MarketRules)
