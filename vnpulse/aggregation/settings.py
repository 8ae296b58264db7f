"""Where the alert rules and the market's rules are read from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vnpulse.configuration import CONFIG_DIR
from vnpulse.strict_model import FilePath, StrictModel


class AggregationSettings(StrictModel):
    """Files; see configs/rules.yaml and configs/market.yaml."""

    rules: FilePath = CONFIG_DIR / "rules.yaml"
    market: FilePath = CONFIG_DIR / "market.yaml"
    wait_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0
    """How long a result waits for the other analysis. After that alerts go out without it, until it has
    caught up."""
