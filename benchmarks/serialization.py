"""What a message costs in JSON and in Avro, as JSON: microseconds a record each way, and bytes.

``.venv/bin/python benchmarks/serialization.py [--records 5000] [--rounds 15]`` encodes and decodes
the same messages with the codecs of the pipelines, the formats taking turns in each round. Decoding
is `decode_each`, as the handlers call it; ``older_schema`` is Avro that was written without the last
optional field, so that two schemas must be resolved. No registry is asked: an id is looked up once a
process. Figures are medians of the rounds, of processor time.
"""

from __future__ import annotations

import argparse
import copy
import datetime as dt
import json
import statistics
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
import msgspec

from vnpulse.decoding import decode_each
from vnpulse.messages import (
    VIETNAM,
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
    encode,
)
from vnpulse.serialization.avro_codec import AvroDecoder, AvroEncoder
from vnpulse.serialization.avro_schemas import avro_schema

OPENING = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)
OURS, OLDER = 1, 2
SCORES = {"trend": 0.123456789, "momentum": -0.5, "volatility": 0.25, "volume": 0.75, "levels": -0.125}


class Numbered:
    """A registry that answers from memory."""

    def __init__(self, ours: str, older: str) -> None:
        self._schemas = {OURS: ours, OLDER: older}

    def schema_of(self, schema_id: int) -> str | None:
        return self._schemas.get(schema_id)

    def id_of(self, subject: str, schema: str) -> int | None:
        return OURS

    def close(self) -> None:
        pass


def messages(kind: type[Message], count: int) -> list[Message]:
    made: list[Message] = []
    for i in range(count):
        at, symbol = OPENING + dt.timedelta(minutes=i % 225), f"S{i % 400:03}"
        later, price = at + dt.timedelta(minutes=1), 20 + i % 97 / 8
        if kind is PriceBar:
            made.append(PriceBar(symbol, at, price, price, price, price, 100 * i, later, "1m", "hose"))
        elif kind is NewsItem:
            text = f"{symbol} công bố kết quả kinh doanh quý hai, lợi nhuận sau thuế tăng {i} tỷ đồng. " * 20
            made.append(NewsItem(f"n{i}", symbol, text[:80], text, "bao", f"https://x/{i}", at, later))
        elif kind is AnalysisTrigger:
            metadata = TriggerMetadata(1, "normal", [OffsetRange("stock_prices_raw", i % 10, i, i)])
            made.append(AnalysisTrigger(f"t{i:032}", symbol, "price_update", at, metadata))
        else:
            details = {
                "interval": "1m",
                "bar_time": at.isoformat(),
                "close": price,
                "components": SCORES,
                "indicators": {f"indicator_{n}": price / (n + 1) for n in range(20)},
            }
            source = ResultMetadata("technical-1", 0.001, RecordRef("stock_prices_raw", i % 10, i, 1))
            body = ResultBody(0.25, 0.5, details)
            made.append(AnalysisResult(f"r{i:032}", symbol, "technical", at, body, source))
    return made


def older_schema(kind: type[Message]) -> dict[str, Any]:
    schema = copy.deepcopy(avro_schema(kind))
    optional = [field for field in schema["fields"] if "default" in field]
    if optional:
        schema["fields"].remove(optional[-1])
    return schema


def written_by(schema: dict[str, Any], message: Message, ours: bytes) -> bytes:
    """Return the record as a writer with ``schema`` puts it: read with ours, written with theirs."""
    source, out = BytesIO(ours), BytesIO()
    source.seek(5)
    record = fastavro.schemaless_reader(source, fastavro.parse_schema(avro_schema(type(message))), None)
    out.write(b"\0" + OLDER.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def microseconds(work: Callable[[], object], records: int) -> float:
    # Of the processor, not of the clock: neighbours must not count.
    began = time.process_time()
    work()
    return (time.process_time() - began) / records * 1e6


def measure(kind: type[Message], records: int, rounds: int) -> dict[str, Any]:
    made, older = messages(kind, records), older_schema(kind)
    registry = Numbered(json.dumps(avro_schema(kind)), json.dumps(older))
    to_avro: Callable[[Any], bytes] = AvroEncoder(kind, "s", registry)
    from_avro: Callable[[bytes], Any] = AvroDecoder(kind, kind, registry)
    from_json: Callable[[bytes], Any] = msgspec.json.Decoder(kind).decode
    as_json: list[bytes | None] = [encode(message) for message in made]
    as_avro: list[bytes | None] = [to_avro(message) for message in made]
    as_older: list[bytes | None] = [
        written_by(older, m, value) for m, value in zip(made, as_avro, strict=True) if value
    ]
    assert decode_each(as_avro, from_avro)[0] == decode_each(as_json, from_json)[0]
    works: dict[str, Callable[[], object]] = {
        "json_encode": lambda: [encode(message) for message in made],
        "avro_encode": lambda: [to_avro(message) for message in made],
        "json_decode": lambda: decode_each(as_json, from_json),
        "avro_decode": lambda: decode_each(as_avro, from_avro),
        "avro_decode_older_schema": lambda: decode_each(as_older, from_avro),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            taken[name].append(microseconds(work, records))
    return {
        "us_a_record": {name: round(statistics.median(times), 2) for name, times in taken.items()},
        "bytes_a_record": {
            name: round(sum(len(value) for value in values if value) / records)
            for name, values in (("json", as_json), ("avro", as_avro))
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="JSON against Avro, a record")
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    kinds: tuple[type[Message], ...] = (PriceBar, NewsItem, AnalysisTrigger, AnalysisResult)
    report = {kind.__name__: measure(kind, given.records, given.rounds) for kind in kinds}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
