"""Programs of another version than ours: their schemas of a bar, and what they write."""

from __future__ import annotations

import copy
from io import BytesIO
from typing import Any

import fastavro

from vnpulse.messages import PriceBar
from vnpulse.serialization.avro_schemas import Schema, avro_schema


def older_bars() -> Schema:
    """Return the schema of who knows no ``source`` yet."""
    schema = copy.deepcopy(avro_schema(PriceBar))
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "source"]
    return schema


def newer_bars() -> Schema:
    """Return the schema of who has an optional ``board`` already."""
    schema = copy.deepcopy(avro_schema(PriceBar))
    schema["fields"].append({"name": "board", "type": ["null", "string"], "default": None})
    return schema


def written(schema_id: int, schema: Schema, record: dict[str, Any]) -> bytes:
    """Return a record's value as such a program writes it."""
    out = BytesIO()
    out.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(schema)), record)
    return out.getvalue()
