"""Message structs to and from Avro in the wire format of Confluent's registry.

A value is one zero byte, the schema's id in four bytes (big-endian), and the Avro binary record.
JSON never begins with a zero byte, so each record says itself what it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from msgspec import inspect

from vnpulse.decoding import Undecodable
from vnpulse.errors import SchemaUnavailable
from vnpulse.messages import VIETNAM, local_time
from vnpulse.serialization.avro_schemas import avro_schema, schema_text

MAGIC_BYTE = b"\0"
HEADER_BYTES = 5

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Struct_contra = TypeVar("_Struct_contra", bound=msgspec.Struct, contravariant=True)
_Repair = Callable[[Any], Any]


class SchemaRegistry(Protocol):
    """What the codecs need of a registry. Questions are answered from memory if that is possible, and raise
    SchemaUnavailable (retriable) if it is not and the registry is away."""

    def schema_of(self, schema_id: int) -> str | None:
        """Return the Avro schema with this id as JSON text; None if the registry knows no such schema."""

    def id_of(self, subject: str, schema: str) -> int | None:
        """Return the id under which ``schema`` is registered for ``subject``; None if it is not."""

    def close(self) -> None:
        """Let go of the connections."""


class AvroEncoder(Generic[_Struct_contra]):
    """Encodes messages of one type for one subject. The id is asked for once, at the first message."""

    def __init__(self, struct: type[_Struct_contra], subject: str, registry: SchemaRegistry) -> None:
        schema = avro_schema(struct)
        self._schema = schema_text(schema)
        self._parsed = parse_schema(schema)
        self._plain = _to_plain(struct)
        self._subject = subject
        self._registry = registry
        self._header = b""

    def __call__(self, message: _Struct_contra) -> bytes:
        """Return the record's value. Raises SchemaUnavailable while the id is not to be had."""
        if not self._header:
            schema_id = self._registry.id_of(self._subject, self._schema)
            if schema_id is None:
                raise SchemaUnavailable(
                    f"{self._subject}: our schema is not registered; run: vnpulse schemas register"
                )
            self._header = MAGIC_BYTE + schema_id.to_bytes(HEADER_BYTES - 1, "big")
        out = BytesIO()
        out.write(self._header)
        schemaless_writer(out, self._parsed, self._plain(message))
        return out.getvalue()


class AvroDecoder(Generic[_Struct]):
    """Decodes records of one message type, whichever version of its schema each was written with.

    ``struct`` is what a record becomes: the ``message`` itself, or a struct with some of its fields.
    """

    def __init__(
        self, struct: type[_Struct], message: type[msgspec.Struct], registry: SchemaRegistry
    ) -> None:
        self._struct = struct
        self._reader: Any = parse_schema(avro_schema(message))
        self._repair = _from_plain(message)
        self._registry = registry
        self._schemas: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: bytes) -> _Struct:
        """Return the message. Raises Undecodable or msgspec.ValidationError for what the record is, and
        SchemaUnavailable for a schema that is not known here while the registry is away."""
        schema_id = schema_id_of(value)
        schemas = self._schemas.get(schema_id)
        if schemas is None:
            writer = writer_schema(schema_id, self._registry)
            # Equal schemas leave nothing to resolve; fastavro would find that out for each record.
            schemas = writer, None if writer == self._reader else self._reader
            self._schemas[schema_id] = schemas
        plain = read_record(value, *schemas)
        try:
            if self._repair is not None:
                self._repair(plain)
        except (msgspec.DecodeError, RecursionError, OverflowError) as error:
            raise Undecodable("bad-avro", f"schema {schema_id}: {error}") from error
        return msgspec.convert(plain, self._struct)


def schema_id_of(value: bytes) -> int:
    """Return the id in the header of an Avro value. Raises Undecodable if it is cut short."""
    if len(value) < HEADER_BYTES:
        raise Undecodable("bad-avro", f"{len(value)} bytes begin with 0 and are too few for a schema id")
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def writer_schema(schema_id: int, registry: SchemaRegistry) -> Any:
    """Return the schema that a record was written with. Raises Undecodable or SchemaUnavailable."""
    text = registry.schema_of(schema_id)
    if text is None:
        raise Undecodable("unknown-schema", f"the schema registry knows no Avro schema {schema_id}")
    try:
        return parse_schema(json.loads(text))
    except Exception as error:  # whatever a registry may hold that fastavro does not take
        raise Undecodable("unknown-schema", f"schema {schema_id} is not usable: {error}") from error


def read_record(value: bytes, writer: Any, reader: Any = None) -> Any:
    """Return the record in ``value`` as plain data, in the fields of ``reader`` if that is given.

    Raises Undecodable: ``bad-avro`` for bytes that are no such record, ``incompatible-schema`` if
    the reader's schema cannot take what the writer's wrote.
    """
    source = BytesIO(value)
    source.seek(HEADER_BYTES)
    try:
        record = schemaless_reader(source, writer, reader)
    except SchemaResolutionError as error:
        _refuse("incompatible-schema", value, error)
    except Exception as error:  # EOF, index, Unicode, overflow...: there is no list of them
        _refuse("bad-avro", value, error)
    if (rest := len(value) - source.tell()) > 0:
        raise Undecodable("bad-avro", f"schema {schema_id_of(value)}: {rest} bytes after the record")
    return record


def _refuse(reason: str, value: bytes, error: Exception) -> NoReturn:
    detail = str(error) or "the record is cut short"
    raise Undecodable(reason, f"schema {schema_id_of(value)}: {type(error).__name__}: {detail}") from error


def _to_plain(struct: type[msgspec.Struct]) -> Callable[[msgspec.Struct], dict[str, Any]]:
    """Return what makes the dictionary that fastavro writes: few fields need more than their value."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    repairs = _repairs(info, _written)
    as_dict = msgspec.structs.asdict

    def plain(message: msgspec.Struct) -> dict[str, Any]:
        fields = as_dict(message)
        for name, repair in repairs:
            fields[name] = repair(fields[name])
        return fields

    return plain


def _written(kind: inspect.Type) -> _Repair | None:
    match kind:
        case inspect.DateTimeType(tz=tz):
            return None if tz else local_time
        case inspect.DictType():
            return lambda value: msgspec.json.encode(value).decode()
        case inspect.StructType(cls=struct):
            return _to_plain(struct)
        case _:
            return None


def _from_plain(struct: type[msgspec.Struct]) -> _Repair | None:
    """Return what puts right, in place, the dictionary that fastavro has read; None if nothing must be."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    repairs = _repairs(info, _read)
    if not repairs:
        return None

    def repair(fields: dict[str, Any]) -> dict[str, Any]:
        for name, mend in repairs:
            fields[name] = mend(fields[name])
        return fields

    return repair


def _read(kind: inspect.Type) -> _Repair | None:
    match kind:
        case inspect.DateTimeType():
            # Avro knows instants only; people read market time.
            return lambda moment: moment.astimezone(VIETNAM)
        case inspect.DictType():
            return msgspec.json.decode
        case inspect.StructType(cls=struct):
            return _from_plain(struct)
        case _:
            return None


def _repairs(
    info: inspect.StructType, choose: Callable[[inspect.Type], _Repair | None]
) -> list[tuple[str, _Repair]]:
    found = []
    for field in info.fields:
        repair = _within(field.type, choose)
        if repair is not None:
            found.append((field.encode_name, repair))
    return found


def _within(kind: inspect.Type, choose: Callable[[inspect.Type], _Repair | None]) -> _Repair | None:
    """Apply what ``choose`` gives for the innermost type inside unions with null and lists."""
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        of_value = _within(next(t for t in kind.types if not isinstance(t, inspect.NoneType)), choose)
        return None if of_value is None else lambda value: None if value is None else of_value(value)
    if isinstance(kind, inspect.ListType):
        of_item = _within(kind.item_type, choose)
        return None if of_item is None else lambda values: [of_item(value) for value in values]
    return choose(kind)
