"""The Avro schema of a message struct: one source for the fields, their order, types and defaults.

==========================  ==================================================================
field                       Avro
==========================  ==================================================================
str, int, float, bool       string, long, double, boolean
datetime                    timestamp-micros; one without a zone is Vietnamese time
X | None                    union of null and X
list[X]                     array
a struct                    record, named after the struct
Literal                     enum; string where a value is no Avro name ("1m")
dict[str, Any]              string that holds JSON: free form is what it is for
==========================  ==================================================================

Documentation is left out on purpose: a registry takes a schema with another text for another version.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

NAMESPACE = "vnpulse"

EMPTY_JSON = "{ }"
"""Default of a dict[str, Any]. With a blank: Apicurio refuses a schema with "{}" in it (3.3.3)."""

_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_PRIMITIVES: dict[type, str] = {
    inspect.StrType: "string",
    inspect.IntType: "long",
    inspect.FloatType: "double",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
}

Schema = dict[str, Any]


@cache
def avro_schema(struct: type[msgspec.Struct]) -> Schema:
    """Return the Avro schema of ``struct``. Raises TypeError for a field that this table lacks."""
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)
    schema: Schema = _record(found, set())
    return schema


def schema_text(schema: Schema) -> str:
    """Return ``schema`` as a registry keeps it: one line of JSON."""
    return json.dumps(schema)


def _record(struct: inspect.StructType, named: set[str]) -> Any:
    name = struct.cls.__name__
    if name in named:
        return f"{NAMESPACE}.{name}"
    named.add(name)
    fields = []
    for field in struct.fields:
        avro: Schema = {"name": field.encode_name, "type": _type(field.type, name, field.name, named)}
        if not field.required:
            value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            avro["default"] = EMPTY_JSON if value == {} else msgspec.to_builtins(value)
        fields.append(avro)
    return {"type": "record", "name": name, "namespace": NAMESPACE, "fields": fields}


def _type(kind: inspect.Type, struct: str, field: str, named: set[str]) -> Any:
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if (primitive := _PRIMITIVES.get(type(kind))) is not None:
        return primitive
    match kind:
        case inspect.DateTimeType():
            return {"type": "long", "logicalType": "timestamp-micros"}
        case inspect.UnionType(types=types) if len(types) == 2 and kind.includes_none:
            inner = next(t for t in types if not isinstance(t, inspect.NoneType))
            return ["null", _type(inner, struct, field, named)]
        case inspect.ListType(item_type=item):
            return {"type": "array", "items": _type(item, struct, field, named)}
        case inspect.StructType():
            return _record(kind, named)
        case inspect.DictType(key_type=inspect.StrType(), value_type=inspect.AnyType()):
            return "string"
        case inspect.LiteralType(values=values) if all(isinstance(value, str) for value in values):
            if not all(_AVRO_NAME.match(str(value)) for value in values):
                return "string"
            name = struct + "".join(part.capitalize() for part in field.split("_"))
            return {"type": "enum", "name": name, "namespace": NAMESPACE, "symbols": list(values)}
        case _:
            raise TypeError(f"{struct}.{field}: no Avro type for {kind}")
