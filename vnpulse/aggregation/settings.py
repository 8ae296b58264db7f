"""Where the alert rules and the market's rules are read from."""

from __future__ import annotations

from pathlib import Path

from vnpulse.configuration import CONFIG_DIR
from vnpulse.strict_model import StrictModel


class AggregationSettings(StrictModel):
    """Files; see configs/rules.yaml and configs/market.yaml."""

    rules: Path = CONFIG_DIR / "rules.yaml"
    market: Path = CONFIG_DIR / "market.yaml"
