from __future__ import annotations

import pytest
from pydantic import ValidationError

from vnpulse.technical.settings import ComponentWeights, TechnicalSettings


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ('{"history_bars": 10}', "greater than or equal to 64"),
        ('{"indicators": ["sma:20"]}', "the score needs ema, macd, rsi"),
        ('{"indicators": ["smaa"]}', "indicator 'smaa' is not known; there are sma, ema"),
        ('{"indicators": ["macd:26:12:9"]}', "fast was 26, must be below slow (12)"),
        ('{"resample": ["1d"]}', "'5m'"),
        ('{"resample": ["5m", "5m"]}', "resample must not repeat"),
        ('{"late_bars": 0}', "greater than or equal to 1"),
        ('{"intervals": []}', "at least 1 item"),
        ('{"intervals": ["2m"]}', "'1m'"),
        ('{"intervals": ["1m", "1m"]}', "must not repeat"),
        (
            '{"weights": {"trend": 0, "momentum": 0, "mean_reversion": 0, "volatility": 0, "volume": 0}}',
            "above zero",
        ),
        ('{"sma": 20}', "Extra inputs"),
        ('{"history_bars": "64"}', "valid integer"),
    ],
)
def test_mistakes_are_named(document: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TechnicalSettings.model_validate_json(document, strict=True)
    assert says in str(caught.value)


def test_the_daily_context_is_always_tracked() -> None:
    assert TechnicalSettings().tracked_intervals() == ("1m", "1d")
    assert TechnicalSettings(intervals=("1d", "5m")).tracked_intervals() == ("5m", "1d")


def test_what_is_resampled_is_tracked_with_what_it_is_made_of() -> None:
    assert TechnicalSettings(intervals=("1h",), resample=("1h",)).tracked_intervals() == ("1m", "1h", "1d")


def test_the_digest_follows_every_setting() -> None:
    default = TechnicalSettings()
    assert default.digest() == TechnicalSettings().digest()
    assert default.digest() != TechnicalSettings(late_bars=15).digest()
    assert default.digest() != TechnicalSettings(weights=ComponentWeights(trend=0.5)).digest()
