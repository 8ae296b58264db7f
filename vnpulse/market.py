"""The exchanges' rules: tick sizes and price limits, from configs/market.yaml."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.strict_model import StrictModel

Exchange = Literal["HOSE", "HNX", "UPCoM"]

_ROUNDING = {"nearest": ROUND_HALF_UP, "down": ROUND_FLOOR, "up": ROUND_CEILING}


class TickStep(StrictModel):
    """Prices below ``below`` VND move in steps of ``tick`` VND; without ``below``, all the rest."""

    tick: Annotated[int, Field(ge=1)]
    below: Annotated[int, Field(ge=1)] | None = None


class ExchangeRules(StrictModel):
    """One exchange."""

    price_limit_pct: Annotated[float, Field(gt=0, lt=100)]
    ticks: tuple[TickStep, ...]

    @model_validator(mode="after")
    def _steps_ascend_and_end_open(self) -> Self:
        bounds = [step.below for step in self.ticks]
        if not bounds or bounds[-1] is not None or None in bounds[:-1]:
            raise ValueError("ticks: the last step, and only the last, has no 'below'")
        if any(a >= b for a, b in pairwise(step.below for step in self.ticks[:-1])):  # type: ignore[operator]
            raise ValueError("ticks: 'below' must ascend")
        return self


class MarketRules(StrictModel):
    """configs/market.yaml."""

    as_of: str
    exchanges: dict[Exchange, ExchangeRules]
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
