"""Alert rules as data, and the episode of each: armed, firing, waiting to be re-armed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
from pydantic import Field, model_validator

from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.messages import AlertType, AnalysisType, Priority
from vnpulse.strict_model import StrictModel

InputName = Literal["final_score", "technical_score", "sentiment_score", "day_change_pct"]

MINUTE_MS = 60_000

_ORDER: tuple[Priority, ...] = ("low", "medium", "high", "critical")


class Rule(StrictModel):
    """One rule; the comment at the top of configs/rules.yaml says how it works."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    alert_type: AlertType
    input: InputName
    fire_above: float | None = None
    fire_below: float | None = None
    rearm: float
    for_results: Annotated[int, Field(ge=1, le=1_000)] = 1
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.0
    cooldown_minutes: Annotated[int, Field(ge=0)] = 0
    priority: dict[Priority, Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _thresholds_make_sense(self) -> Self:
        if (self.fire_above is None) == (self.fire_below is None):
            raise ValueError(f"rule {self.name}: give fire_above or fire_below, one of them")
        if self.fire_above is not None and self.rearm >= self.fire_above:
            raise ValueError(
                f"rule {self.name}: rearm was {self.rearm}, must be below fire_above {self.fire_above}"
            )
        if self.fire_below is not None and self.rearm <= self.fire_below:
            raise ValueError(
                f"rule {self.name}: rearm was {self.rearm}, must be above fire_below {self.fire_below}"
            )
        if not self.priority:
            raise ValueError(f"rule {self.name}: priority must name at least one level")
        return self

    @property
    def threshold(self) -> float:
        """The value whose passing fires the rule."""
        return self.fire_above if self.fire_above is not None else self.fire_below  # type: ignore[return-value]

    def beyond(self, value: float) -> bool:
        """Say whether ``value`` has passed the firing threshold."""
        return value >= self.threshold if self.fire_above is not None else value <= self.threshold

    def back(self, value: float) -> bool:
        """Say whether ``value`` has come back far enough to arm the rule again."""
        return value <= self.rearm if self.fire_above is not None else value >= self.rearm

    def priority_of(self, value: float) -> Priority:
        """Return the highest level whose threshold the size of ``value`` reaches."""
        reached = [level for level in _ORDER if level in self.priority and abs(value) >= self.priority[level]]
        return reached[-1] if reached else next(level for level in _ORDER if level in self.priority)


class Recommendation(StrictModel):
    """Final scores from which a recommendation is more than HOLD."""

    buy_above: Annotated[float, Field(ge=0, le=1)]
    sell_below: Annotated[float, Field(ge=-1, le=0)]


class RuleBook(StrictModel):
    """configs/rules.yaml."""

    version: str
    weights: Annotated[dict[AnalysisType, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]
    sentiment_half_life_minutes: Annotated[float, Field(gt=0)]
    recommendation: Recommendation
    target_atr: Annotated[float, Field(gt=0)]
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [rule.name for rule in self.rules]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"rules: names must be unique, given twice: {', '.join(doubled)}")
        return self


def load_rules(path: Path = CONFIG_DIR / "rules.yaml") -> RuleBook:
    """Read the rules. Raises SettingsError, one line for each mistake."""
    return load_model(path, RuleBook)


class Episode(msgspec.Struct, omit_defaults=True):
    """Where one rule stands for one symbol. Times are event time, epoch milliseconds."""

    armed: bool = True
    streak: int = 0
    fired_ms: int | None = None

    def step(self, rule: Rule, value: float, confidence: float, now_ms: int) -> bool:
        """Take in one value of the rule's input; return True if the rule fires now.

        Uncertain values (below ``min_confidence``) neither fire nor re-arm: they say nothing.
        """
        if confidence < rule.min_confidence:
            return False
        if rule.back(value):
            self.armed = True
        if not rule.beyond(value):
            self.streak = 0
            return False
        self.streak += 1
        cooling = self.fired_ms is not None and now_ms - self.fired_ms < rule.cooldown_minutes * MINUTE_MS
        if not self.armed or self.streak < rule.for_results or cooling:
            return False
        self.armed = False
        self.fired_ms = now_ms
        return True
