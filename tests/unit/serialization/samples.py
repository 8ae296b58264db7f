"""One message of each type with every field set, and the same with the optional ones left out."""

from __future__ import annotations

import datetime as dt

import msgspec

from vnpulse.messages import (
    VIETNAM,
    Alert,
    AlertData,
    AnalysisResult,
    AnalysisTrigger,
    Message,
    NewsItem,
    OffsetRange,
    PriceBar,
    RecordRef,
    ResultBody,
    ResultMetadata,
    TriggerMetadata,
)

AT = dt.datetime(2025, 7, 28, 9, 15, 0, 123456, VIETNAM)
LATER = AT + dt.timedelta(minutes=1)

BAR = PriceBar("VCB", AT, 85.5, 86.1, 85.2, 85.9, 123_400, LATER, "5m", "hose")
NEWS = NewsItem("n1", "VCB", "VCB lãi kỷ lục", "Nội dung", "báo", "https://x", AT, LATER, "banks", ["a", "b"])
TRIGGER = AnalysisTrigger(
    "t1",
    "VCB",
    "price_update",
    AT,
    TriggerMetadata(2, "urgent", [OffsetRange("p", 1, 5, 9), OffsetRange("p", 2, 0, 0)]),
)
RESULT = AnalysisResult(
    "r1",
    "VCB",
    "technical",
    AT,
    ResultBody(-0.25, 0.5, {"rsi": 31.5, "nested": {"list": [1, None, "đỏ"]}, "none": None}),
    ResultMetadata("v1", 0.002, RecordRef("p", 3, 77, 1_753_668_900_123)),
)
ALERT = Alert(
    "a1",
    "VCB",
    "risk_alert",
    "critical",
    AT,
    "giảm sàn",
    AlertData(-0.9, "SELL", 80.1, {"rule": {"name": "x"}}),
)

FULL: list[Message] = [BAR, NEWS, TRIGGER, RESULT, ALERT]
SPARE: list[Message] = [
    PriceBar("VCB", AT, 85.5, 86.1, 85.2, 85.9, 0, LATER),
    NewsItem("n1", None, "t", "", "", "", AT, LATER),
    AnalysisTrigger("t1", "VCB", "scheduled", AT),
    msgspec.structs.replace(RESULT, results=ResultBody(0, 0), metadata=ResultMetadata("v1", 0.0)),
    msgspec.structs.replace(ALERT, data=AlertData(0.1, "HOLD", None)),
]
