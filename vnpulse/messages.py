"""The five message formats of the topics design, as typed structs with one JSON codec.

Field names, order and units are the specification's. Prices are in thousand VND (85.5 is
85,500 VND). What the specification lacks is an optional field with a default, and fields that
nobody here knows are ignored, so old and new producers and consumers mix during a roll-out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

VIETNAM = dt.timezone(dt.timedelta(hours=7), "+07:00")
"""Asia/Ho_Chi_Minh: +07:00 all year, there is no daylight saving."""

DAY_MS = 86_400_000
ZONE_MS = 7 * 3_600_000
"""How far VIETNAM is ahead of UTC, all year: a day of an epoch time is (time + ZONE_MS) // DAY_MS."""


def local_time(moment: dt.datetime) -> dt.datetime:
    """Return ``moment`` with a zone: one without is Vietnamese time."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=VIETNAM)


SYMBOL_PATTERN = r"^[A-Z][A-Z0-9]{1,11}$"
"""Tickers are three characters; indices (VNINDEX) and covered warrants (CVPB2501) are longer."""

Symbol = Annotated[str, msgspec.Meta(pattern=SYMBOL_PATTERN[:-1] + r"\Z")]
"""``$`` would let a line feed follow; configuration files are checked by another engine, without ``\\Z``."""
Zoned = Annotated[dt.datetime, msgspec.Meta(tz=True)]
Interval = Literal["1m", "5m", "15m", "1h", "1d"]

INTERVAL_MS: dict[str, int] = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "1d": 86_400_000,
}

AnalysisType = Literal["technical", "sentiment"]
TriggerType = Literal["price_update", "news_update", "scheduled"]
AlertType = Literal["buy_signal", "sell_signal", "risk_alert"]
Priority = Literal["low", "medium", "high", "critical"]


class PriceBar(msgspec.Struct, frozen=True, gc=False):
    """``stock_prices_raw``: one bar of one symbol. ``time`` is the bar's opening time.

    The specification's example writes ``collected_at`` without a zone; it is then Vietnamese
    local time. A bar collected at or after its end is closed; one collected earlier may change.
    """

    symbol: str
    time: Zoned
    open: float
    high: float
    low: float
    close: float
    volume: float
    collected_at: dt.datetime
    interval: Interval = "1m"
    source: str | None = None


class NewsItem(msgspec.Struct, frozen=True):
    """``stock_news_raw``: one article. ``symbol`` is null for an article about the whole market."""

    news_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    symbol: Symbol | None
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
    content: str
    source: str
    source_url: str
    published_at: Zoned
    collected_at: dt.datetime
    category: str | None = None
    tags: list[str] = []


class RecordRef(msgspec.Struct, frozen=True, order=True):
    """Where a record lies in the log, and when the broker appended it (epoch milliseconds)."""

    topic: str
    partition: int
    offset: int
    timestamp: int = 0


class OffsetRange(msgspec.Struct, frozen=True, order=True):
    """The raw records ``first <= offset <= last`` of one partition that a trigger is about."""

    topic: str
    partition: int
    first: int
    last: int


class TriggerMetadata(msgspec.Struct, frozen=True):
    """``metadata`` of a trigger. ``sources`` names the raw records; none means "the latest state"."""

    data_count: int = 1
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    sources: list[OffsetRange] = []


class AnalysisTrigger(msgspec.Struct, frozen=True):
    """``analysis_triggers``: look at this symbol."""

    trigger_id: str
    symbol: Symbol
    trigger_type: TriggerType
    timestamp: Zoned
    metadata: TriggerMetadata = TriggerMetadata()


class ResultBody(msgspec.Struct, frozen=True):
    """``results``: score in [-1, 1] (sell to buy), confidence in [0, 1], and what they rest on."""

    score: Annotated[float, msgspec.Meta(ge=-1, le=1)]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    details: dict[str, Any] = {}


class ResultMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """``metadata`` of a result. ``processing_time`` is in seconds; ``source`` is the record analysed."""

    model_version: str
    processing_time: float
    source: RecordRef | None = None


class AnalysisResult(msgspec.Struct, frozen=True):
    """``analysis_results``: what one analyzer says of one symbol as of ``timestamp`` (event time)."""

    result_id: str
    symbol: Symbol
    analysis_type: AnalysisType
    timestamp: Zoned
    results: ResultBody
    metadata: ResultMetadata


class AlertData(msgspec.Struct, frozen=True, omit_defaults=True):
    """``data`` of an alert. ``target_price`` in thousand VND, on the exchange's tick.

    ``explanation`` holds everything that the alert rests on: the rule and its version, the score
    by component, indicator values, article ids, model versions and the input records.
    """

    final_score: float
    recommendation: Literal["BUY", "HOLD", "SELL"]
    target_price: float | None
    explanation: dict[str, Any] = {}


class Alert(msgspec.Struct, frozen=True):
    """``alerts``: something a person should see."""

    alert_id: str
    symbol: Symbol
    alert_type: AlertType
    priority: Priority
    timestamp: Zoned
    message: str
    data: AlertData


Message = PriceBar | NewsItem | AnalysisTrigger | AnalysisResult | Alert

Encode = Callable[[Any], bytes]
"""Makes a record's value of a message."""

_encoder = msgspec.json.Encoder()
encode: Encode = _encoder.encode
"""Encode any message as UTF-8 JSON bytes."""
