"""Messages to Avro and back, across versions of their schemas, and what is no such record."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.serialization.conftest import MemoryRegistry
from tests.unit.serialization.samples import ALERT, AT, BAR, FULL, RESULT, SPARE
from vnpulse.decoding import decode_each
from vnpulse.errors import SchemaUnavailable
from vnpulse.messages import VIETNAM, Alert, AnalysisResult, Message, PriceBar
from vnpulse.serialization.avro_codec import AvroDecoder, AvroEncoder
from vnpulse.serialization.avro_schemas import avro_schema

SUBJECT = "bars-value"


class FewOfResults(msgspec.Struct):
    details: dict[str, Any]


class Few(msgspec.Struct):
    """Some fields of an AnalysisResult."""

    result_id: str
    results: FewOfResults


def encoded(registry: MemoryRegistry, message: Message) -> bytes:
    registry.add(avro_schema(type(message)), SUBJECT)
    return AvroEncoder(type(message), SUBJECT, registry)(message)


def written(schema_id: int, schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    """Return a value as another program would write it."""
    out = io.BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema)), record)
    return out.getvalue()


def plain(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


@pytest.mark.parametrize("message", [*FULL, *SPARE], ids=lambda m: type(m).__name__)
def test_a_message_survives_the_way_there_and_back(registry: MemoryRegistry, message: Message) -> None:
    value = encoded(registry, message)
    assert value[:5] == b"\0\0\0\0\1"
    assert AvroDecoder(type(message), type(message), registry)(value) == message


def test_times_are_read_as_market_time_and_written_so_when_they_have_no_zone(
    registry: MemoryRegistry,
) -> None:
    value = encoded(registry, msgspec.structs.replace(BAR, collected_at=AT.replace(tzinfo=None)))
    read = AvroDecoder(PriceBar, PriceBar, registry)(value)
    assert read.collected_at == AT
    assert (read.time.tzinfo, read.collected_at.tzinfo) == (VIETNAM, VIETNAM)


def test_a_reader_of_a_few_fields_gets_those(registry: MemoryRegistry) -> None:
    read = AvroDecoder(Few, AnalysisResult, registry)(encoded(registry, RESULT))
    assert (read.result_id, read.results.details) == ("r1", RESULT.results.details)


def test_older_and_newer_versions_are_read_in_one_batch(registry: MemoryRegistry) -> None:
    older, newer = (copy.deepcopy(avro_schema(PriceBar)) for _ in range(2))
    del older["fields"][-1]
    newer["fields"].append({"name": "board", "type": ["null", "string"], "default": None})
    values: list[bytes | None] = [
        written(registry.add(older), older, {k: v for k, v in plain(BAR).items() if k != "source"}),
        encoded(registry, BAR),
        written(registry.add(newer), newer, plain(BAR) | {"board": "HOSE"}),
    ]
    read, rows, rejections = decode_each(values * 3, AvroDecoder(PriceBar, PriceBar, registry))
    assert not rejections
    assert rows == list(range(9))
    assert read == [msgspec.structs.replace(BAR, source=None), BAR, BAR] * 3
    assert registry.questions == {"1": 1, "2": 1, "3": 1, SUBJECT: 1}


def test_a_renamed_type_or_a_promoted_number_is_read_as_avro_resolves_it(registry: MemoryRegistry) -> None:
    ints = copy.deepcopy(avro_schema(PriceBar))
    ints["fields"][6]["type"] = "int"
    value = written(registry.add(ints), ints, plain(BAR) | {"volume": 100})
    assert AvroDecoder(PriceBar, PriceBar, registry)(value).volume == 100.0


def rejection(registry: MemoryRegistry, value: bytes, struct: type[Message] = Alert) -> tuple[str, str]:
    read, _, (found,) = decode_each([value], AvroDecoder(struct, struct, registry))
    assert not read
    return found.reason, found.message


def test_what_is_no_record_is_rejected_with_a_reason_of_its_own(registry: MemoryRegistry) -> None:
    good = encoded(registry, ALERT)
    assert rejection(registry, good[:3]) == (
        "bad-avro",
        "3 bytes begin with 0 and are too few for a schema id",
    )
    assert rejection(registry, good[:-1])[0] == "bad-avro"
    assert rejection(registry, good[:5])[0] == "bad-avro"
    assert rejection(registry, good + b"x") == ("bad-avro", "schema 1: 1 bytes after the record")
    assert rejection(registry, good[:5] + b"\xff" * 40)[0] == "bad-avro"
    unknown = b"\0\0\0\0\x63" + good[5:]
    assert rejection(registry, unknown) == ("unknown-schema", "the schema registry knows no Avro schema 99")


def test_a_string_longer_than_memory_is_only_a_bad_record(registry: MemoryRegistry) -> None:
    header = encoded(registry, ALERT)[:5]
    assert rejection(registry, header + b"\xfe" + b"\xff" * 8 + b"\x01")[0] == "bad-avro"


def test_a_record_of_another_type_is_incompatible(registry: MemoryRegistry) -> None:
    assert rejection(registry, encoded(registry, BAR))[0] == "incompatible-schema"


def test_a_value_that_our_enum_lacks_is_incompatible(registry: MemoryRegistry) -> None:
    newer = copy.deepcopy(avro_schema(Alert))
    newer["fields"][3]["type"]["symbols"].append("panic")
    data = {"final_score": 0.0, "recommendation": "BUY", "target_price": None, "explanation": "{}"}
    record = plain(ALERT) | {"data": data, "priority": "panic"}
    number = registry.add(newer)
    reason, message = rejection(registry, written(number, newer, record))
    assert reason == "incompatible-schema"
    assert "panic" in message


@pytest.mark.parametrize("text", ["{", '{"type": "nonsense"}', "{}"])
def test_a_schema_that_is_none_is_named(registry: MemoryRegistry, text: str) -> None:
    number = registry.add(text)
    reason, message = rejection(registry, b"\0" + number.to_bytes(4, "big") + b"\2")
    assert (reason, f"schema {number}" in message) == ("unknown-schema", True)


@pytest.mark.parametrize("details", ["{", "[1]", '"x"', "[" * 100_000])
def test_free_form_that_is_no_json_object_is_rejected(registry: MemoryRegistry, details: str) -> None:
    schema = avro_schema(AnalysisResult)
    record = json.loads(msgspec.json.encode(RESULT)) | {"timestamp": AT}
    record["results"]["details"] = details
    reason, _ = rejection(registry, written(registry.add(schema), schema, record), AnalysisResult)
    assert reason in ("bad-avro", "wrong-type")


def test_the_rules_of_the_struct_hold_for_avro_too(registry: MemoryRegistry) -> None:
    value = encoded(registry, msgspec.structs.replace(ALERT, symbol="no symbol"))
    assert rejection(registry, value)[0] == "wrong-type"


@settings(deadline=None)
@given(st.data())
def test_whatever_follows_the_header_is_a_message_or_a_rejection(data: st.DataObject) -> None:
    registry = MemoryRegistry()
    good = encoded(registry, data.draw(st.sampled_from(FULL)))
    registry.add(avro_schema(Alert), "a")
    values: list[bytes | None] = []
    for _ in range(20):
        noise = data.draw(st.binary(max_size=60))
        cut = data.draw(st.integers(0, len(good)))
        head = b"\0\0\0\0" + bytes([data.draw(st.integers(0, 3))])
        values += [good[:cut] + noise + good[cut + len(noise) :], head + noise, b"\0" + noise]
    for struct in (PriceBar, Alert, AnalysisResult):
        read, rows, rejections = decode_each(values, AvroDecoder(struct, struct, registry))
        assert len(read) == len(rows)
        assert sorted([*rows, *(r.row for r in rejections)]) == list(range(len(values)))


def test_a_schema_that_nobody_can_be_asked_for_now_is_waited_for(registry: MemoryRegistry) -> None:
    known, other = encoded(registry, BAR), copy.deepcopy(avro_schema(PriceBar))
    del other["fields"][-1]
    late = written(registry.add(other), other, plain(BAR))
    decode = AvroDecoder(PriceBar, PriceBar, registry)
    assert decode(known) == BAR
    registry.away = True
    assert decode(known) == BAR
    with pytest.raises(SchemaUnavailable) as caught:
        decode_each([known, late], decode)
    assert caught.value.retriable
    registry.away = False
    assert len(decode_each([known, late], decode)[0]) == 2


def test_a_producer_that_has_its_id_goes_on_without_the_registry(registry: MemoryRegistry) -> None:
    encode = AvroEncoder(PriceBar, SUBJECT, registry)
    with pytest.raises(SchemaUnavailable, match="bars-value: our schema is not registered; run: vnpulse"):
        encode(BAR)
    registry.add(avro_schema(PriceBar), SUBJECT)
    first = encode(BAR)
    registry.away = True
    assert encode(BAR) == first
    with pytest.raises(SchemaUnavailable, match="away"):
        AvroEncoder(PriceBar, SUBJECT, registry)(BAR)
