from __future__ import annotations

import pytest
from pydantic import ValidationError

from vnpulse.technical.settings import ComponentWeights, TechnicalSettings


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('{"history_bars": 10}', "greater than or equal to 64"),
        ('{"history_bars": 64, "sma_period": 100}', "below the longest window (100)"),
        ('{"macd_fast": 26}', "must be below macd_slow"),
        ('{"intervals": []}', "at least 1 item"),
        ('{"intervals": ["2m"]}', "'1m'"),
        ('{"intervals": ["1m", "1m"]}', "must not repeat"),
        ('{"weights": {"trend": 0, "momentum": 0, "mean_reversion": 0}}', "above zero"),
        ('{"sma": 20}', "Extra inputs"),
        ('{"rsi_period": "14"}', "valid integer"),
    ],
)
def test_mistakes_are_named(document: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TechnicalSettings.model_validate_json(document, strict=True)
    assert says in str(caught.value)


def test_the_daily_context_is_always_tracked() -> None:
    assert TechnicalSettings().tracked_intervals() == ("1m", "1d")
    assert TechnicalSettings(intervals=("1d", "5m")).tracked_intervals() == ("5m", "1d")


def test_the_digest_follows_every_setting() -> None:
    default = TechnicalSettings()
    assert default.digest() == TechnicalSettings().digest()
    assert default.digest() != TechnicalSettings(rsi_period=15).digest()
    assert default.digest() != TechnicalSettings(weights=ComponentWeights(trend=0.5)).digest()


def test_warm_up_reaches_further_back_for_slower_indicators() -> None:
    default = TechnicalSettings().warm_up_bars()
    assert 512 + 250 < default < 512 + 400
    assert TechnicalSettings(rsi_period=28).warm_up_bars() > default
