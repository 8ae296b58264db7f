"""The specification's examples, as they stand there, are messages; and messages are the specification's."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec
import pytest

from vnpulse.messages import (
    INTERVAL_MS,
    VIETNAM,
    Alert,
    AnalysisResult,
    AnalysisTrigger,
    NewsItem,
    PriceBar,
    RecordRef,
    ResultMetadata,
    encode,
)

PRICE = """{
  "symbol": "VCB",
  "time": "2024-12-04T09:15:00+07:00",
  "open": 85.5,
  "high": 86.2,
  "low": 85.0,
  "close": 86.0,
  "volume": 1250000,
  "collected_at": "2024-12-04T09:15:30.123456"
}"""

NEWS = """{
  "news_id": "hash_abc123",
  "symbol": "VCB",
  "title": "VCB công bố kế hoạch tăng vốn điều lệ",
  "content": "Nội dung tin tức đầy đủ...",
  "source": "VnExpress",
  "source_url": "https://vnexpress.net/...",
  "published_at": "2024-12-04T08:30:00+07:00",
  "collected_at": "2024-12-04T09:00:00+07:00",
  "category": "corporate_action",
  "tags": ["tăng vốn", "cổ phiếu"]
}"""

TRIGGER = """{
  "trigger_id": "uuid-123",
  "symbol": "VCB",
  "trigger_type": "price_update",
  "timestamp": "2024-12-04T09:15:00+07:00",
  "metadata": {
    "data_count": 1,
    "priority": "normal"
  }
}"""

RESULT = """{
  "result_id": "uuid-456",
  "symbol": "VCB",
  "analysis_type": "technical",
  "timestamp": "2024-12-04T10:00:00+07:00",
  "results": {
    "score": 0.8,
    "confidence": 0.75,
    "details": { }
  },
  "metadata": {
    "model_version": "v1.2",
    "processing_time": 2.5
  }
}"""

ALERT = """{
  "alert_id": "uuid-789",
  "symbol": "VCB",
  "alert_type": "buy_signal",
  "priority": "high",
  "timestamp": "2024-12-04T11:00:00+07:00",
  "message": "Strong technical and sentiment alignment",
  "data": {
    "final_score": 0.85,
    "recommendation": "BUY",
    "target_price": 92.0
  }
}"""

EXAMPLES: list[Any] = [
    pytest.param(PRICE, PriceBar, id="stock_prices_raw"),
    pytest.param(NEWS, NewsItem, id="stock_news_raw"),
    pytest.param(TRIGGER, AnalysisTrigger, id="analysis_triggers"),
    pytest.param(RESULT, AnalysisResult, id="analysis_results"),
    pytest.param(ALERT, Alert, id="alerts"),
]


def within(example: Any, message: Any) -> bool:
    """Say whether ``message`` has every field of ``example`` with its value; more is allowed."""
    if isinstance(example, dict):
        return isinstance(message, dict) and all(
            key in message and within(value, message[key]) for key, value in example.items()
        )
    return bool(example == message)


@pytest.mark.parametrize(("example", "kind"), EXAMPLES)
def test_an_example_of_the_specification_keeps_every_field_through_decoding_and_encoding(
    example: str, kind: type
) -> None:
    encoded = json.loads(encode(msgspec.json.decode(example, type=kind)))
    assert within(json.loads(example), encoded), encoded


@pytest.mark.parametrize(("example", "kind"), EXAMPLES)
def test_fields_come_in_the_order_of_the_specification(example: str, kind: type) -> None:
    encoded = json.loads(encode(msgspec.json.decode(example, type=kind)))
    wanted = list(json.loads(example))
    assert [key for key in encoded if key in wanted] == wanted


@pytest.mark.parametrize(("example", "kind"), EXAMPLES)
def test_a_message_survives_encoding_and_decoding(example: str, kind: type) -> None:
    message = msgspec.json.decode(example, type=kind)
    assert msgspec.json.decode(encode(message), type=kind) == message


@pytest.mark.parametrize(("example", "kind"), EXAMPLES)
def test_unknown_fields_are_ignored_at_every_level(example: str, kind: type) -> None:
    data = json.loads(example)
    extended: dict[str, Any] = {"added_in_2030": [1, {"x": None}], **data}
    for key, value in data.items():
        if isinstance(value, dict) and key != "details":
            extended[key] = {**value, "also_new": "x"}
    decoded = msgspec.json.decode(json.dumps(extended), type=kind)
    assert decoded == msgspec.json.decode(example, type=kind)


@pytest.mark.parametrize(("example", "kind"), EXAMPLES)
def test_every_field_of_the_specification_but_the_optional_ones_is_required(example: str, kind: type) -> None:
    data = json.loads(example)
    optional = {"category", "tags", "metadata"} if kind is not AnalysisResult else set()
    for key in data:
        if key in optional:
            continue
        without = json.dumps({name: value for name, value in data.items() if name != key})
        with pytest.raises(msgspec.ValidationError, match=f"missing required field `{key}`"):
            msgspec.json.decode(without, type=kind)


def test_the_price_example_means_what_it_says() -> None:
    bar = msgspec.json.decode(PRICE, type=PriceBar)
    assert bar.time == dt.datetime(2024, 12, 4, 9, 15, tzinfo=VIETNAM)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (85.5, 86.2, 85.0, 86.0, 1_250_000)
    assert bar.collected_at == dt.datetime(2024, 12, 4, 9, 15, 30, 123456)
    assert (bar.interval, bar.source) == ("1m", None)


def test_vietnamese_text_is_written_as_utf_8_not_escaped() -> None:
    item = msgspec.json.decode(NEWS, type=NewsItem)
    assert "tăng vốn điều lệ".encode() in encode(item)


@pytest.mark.parametrize(
    ("kind", "example", "old", "new"),
    [
        pytest.param(PriceBar, PRICE, "+07:00", "", id="time without zone"),
        pytest.param(PriceBar, PRICE, '"2024-12-04T09:15:00+07:00"', "1733278500", id="time as a number"),
        pytest.param(PriceBar, PRICE, "85.5", '"85.5"', id="price as text"),
        pytest.param(PriceBar, PRICE, '"volume"', '"interval": "2m", "volume"', id="unknown interval"),
        pytest.param(NewsItem, NEWS, '"hash_abc123"', '""', id="empty news_id"),
        pytest.param(NewsItem, NEWS, '"VCB"', '"vcb"', id="news symbol in small letters"),
        pytest.param(NewsItem, NEWS, '"VCB"', '"VCB\\n"', id="news symbol with a line feed"),
        pytest.param(NewsItem, NEWS, '"VCB"', '"ABCDEFGHIJKLM"', id="news symbol of 13 letters"),
        pytest.param(NewsItem, NEWS, "08:30:00+07:00", "08:30:00", id="published without zone"),
        pytest.param(AnalysisTrigger, TRIGGER, "price_update", "moon", id="trigger type"),
        pytest.param(AnalysisTrigger, TRIGGER, "normal", "whenever", id="trigger priority"),
        pytest.param(AnalysisTrigger, TRIGGER, "VCB", "VCB\\n", id="trigger symbol with a line feed"),
        pytest.param(AnalysisResult, RESULT, "0.8", "1.01", id="score above 1"),
        pytest.param(AnalysisResult, RESULT, "0.8", "-1.01", id="score below -1"),
        pytest.param(AnalysisResult, RESULT, "0.75", "-0.1", id="confidence below 0"),
        pytest.param(AnalysisResult, RESULT, "0.75", "1.1", id="confidence above 1"),
        pytest.param(AnalysisResult, RESULT, "technical", "astrology", id="analysis type"),
        pytest.param(Alert, ALERT, "buy_signal", "hold_signal", id="alert type"),
        pytest.param(Alert, ALERT, '"high"', '"urgent"', id="alert priority"),
        pytest.param(Alert, ALERT, '"BUY"', '"buy"', id="recommendation"),
    ],
)
def test_what_the_specification_does_not_allow_is_refused(
    kind: type, example: str, old: str, new: str
) -> None:
    assert old in example
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(example.replace(old, new, 1), type=kind)


@pytest.mark.parametrize("symbol", ["VCB", "VNINDEX", "VN30", "CVPB2501", "E1VFVN30", "VN30F2508"])
def test_every_kind_of_ticker_of_the_market_is_a_symbol(symbol: str) -> None:
    example = NEWS.replace('"VCB"', f'"{symbol}"')
    assert msgspec.json.decode(example, type=NewsItem).symbol == symbol


def test_news_about_the_market_has_a_null_symbol_and_says_so() -> None:
    item = msgspec.json.decode(NEWS.replace('"VCB"', "null"), type=NewsItem)
    assert item.symbol is None
    assert json.loads(encode(item))["symbol"] is None


def test_a_result_names_its_record_only_when_it_has_one() -> None:
    assert b"source" not in encode_metadata(ResultMetadata("v1", 0.1))
    known = encode_metadata(ResultMetadata("v1", 0.1, RecordRef("t", 1, 2, 3)))
    assert json.loads(known)["source"] == {"topic": "t", "partition": 1, "offset": 2, "timestamp": 3}


def encode_metadata(metadata: ResultMetadata) -> bytes:
    return msgspec.json.encode(metadata)


def test_interval_lengths() -> None:
    minutes = {name: ms / 60_000 for name, ms in INTERVAL_MS.items()}
    assert minutes == {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "1d": 1_440}
