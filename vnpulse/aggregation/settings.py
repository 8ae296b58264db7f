"""Where the alert rules and the market's rules are read from."""

from __future__ import annotations

from vnpulse.configuration import CONFIG_DIR
from vnpulse.strict_model import FilePath, StrictModel


class AggregationSettings(StrictModel):
    """Files; see configs/rules.yaml and configs/market.yaml."""

    rules: FilePath = CONFIG_DIR / "rules.yaml"
    market: FilePath = CONFIG_DIR / "market.yaml"
