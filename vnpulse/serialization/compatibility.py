"""Whether records of one Avro schema can be read with another, and if not, why. Rules: Apache Avro's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from vnpulse.serialization.avro_schemas import Schema


def incompatibilities(reader: Schema, writer: Schema) -> list[str]:
    """Return what keeps ``reader`` from reading every record of ``writer``, a line a field; nothing if it
    can. That the new schema reads what the old one wrote is what registries call BACKWARD."""
    new, old = (avro.schema.parse(json.dumps(schema)) for schema in (reader, writer))
    return list(_differences(new, old, ""))


def _differences(reader: avro.schema.Schema, writer: avro.schema.Schema, path: str) -> Iterator[str]:
    if (
        isinstance(reader, avro.schema.RecordSchema)
        and isinstance(writer, avro.schema.RecordSchema)
        and reader.fullname == writer.fullname
    ):
        written = {field.name: field for field in writer.fields}
        for field in reader.fields:
            place = f"{path}.{field.name}" if path else field.name
            if field.name in written:
                yield from _differences(field.type, written[field.name].type, place)
            elif not field.has_default:
                yield f"{place}: a field that older records lack needs a default"
        return
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(reader, writer)
    if result.compatibility is not SchemaCompatibilityType.compatible:
        kinds = sorted({kind.value.replace("_", " ") for kind in result.incompatibilities})
        yield f"{path or '(record)'}: {', '.join(kinds)}: {'; '.join(sorted(result.messages))}"
