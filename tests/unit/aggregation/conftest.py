"""Results of one symbol as an analyzer would write them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from vnpulse.messages import VIETNAM, AnalysisResult, RecordRef, ResultBody, ResultMetadata

OPENING = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)


def _technical(
    result_id: str,
    score: float,
    minute: float = 0,
    confidence: float = 0.8,
    close: float = 25.0,
    previous_close: float | None = 25.0,
    atr: float | None = 0.5,
    symbol: str = "FPT",
) -> AnalysisResult:
    daily = {"close": previous_close, "atr_14": atr}
    details = {
        "interval": "1m",
        "bar_time": (OPENING + dt.timedelta(minutes=minute)).isoformat(),
        "close": close,
        "indicators": {"rsi_14": 61.5},
        "components": {"trend": score},
        "daily": {name: value for name, value in daily.items() if value is not None},
    }
    return AnalysisResult(
        result_id,
        symbol,
        "technical",
        OPENING + dt.timedelta(minutes=minute + 1),
        ResultBody(score, confidence, details),
        ResultMetadata("technical/1", 0.01, RecordRef("stock_prices_raw", 2, int(minute), 1_000)),
    )


def _sentiment(
    result_id: str, score: float, minute: float = 0, confidence: float = 0.6, symbol: str = "FPT"
) -> AnalysisResult:
    return AnalysisResult(
        result_id,
        symbol,
        "sentiment",
        OPENING + dt.timedelta(minutes=minute),
        ResultBody(score, confidence, {"articles": [{"news_id": f"n-{result_id}", "title": "FPT báo lãi"}]}),
        ResultMetadata("lexicon/1", 0.02, RecordRef("stock_news_raw", 1, int(minute), 2_000)),
    )


@pytest.fixture(scope="session")
def technical() -> Callable[..., AnalysisResult]:
    return _technical


@pytest.fixture(scope="session")
def sentiment() -> Callable[..., AnalysisResult]:
    return _sentiment


@pytest.fixture(scope="session")
def opening() -> Any:
    return OPENING
