"""configs/schemas: every version of every topic's schema that was ever agreed on, one file each.

The newest file of a topic says what its message struct generates; the older ones are what records that
are still about may have been written with. Nothing reads them at run time: they are for review, for who
reads our topics in another language, and for the check that a changed struct still reads old records.
"""

from __future__ import annotations

import json
from pathlib import Path

from vnpulse.configuration import CONFIG_DIR
from vnpulse.errors import InputFileError, UserError
from vnpulse.serialization.avro_schemas import Schema, avro_schema
from vnpulse.serialization.compatibility import incompatibilities
from vnpulse.topics import MESSAGE_TYPES

SCHEMA_DIR = CONFIG_DIR / "schemas"


def stored_schemas(topic: str, folder: Path = SCHEMA_DIR) -> list[Schema]:
    """Return the versions of ``topic``'s schema, oldest first. Raises InputFileError for a damaged file."""
    schemas: list[Schema] = []
    while (path := _path(topic, len(schemas) + 1, folder)).exists():
        try:
            schemas.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputFileError(f"{path}: cannot be read as an Avro schema: {error}") from None
    return schemas


def generate(folder: Path = SCHEMA_DIR) -> list[Path]:
    """Write a next version for each topic whose struct has changed; return the new files.

    Raises UserError, and writes nothing, if a struct could not read the records of an earlier version.
    """
    new: dict[Path, Schema] = {}
    problems: list[str] = []
    for topic, struct in MESSAGE_TYPES.items():
        schema, stored = avro_schema(struct), stored_schemas(topic, folder)
        if stored and stored[-1] == schema:
            continue
        for version, earlier in enumerate(stored, 1):
            problems += [
                f"{struct.__name__} cannot read version {version} of {topic}: {problem}"
                for problem in incompatibilities(schema, earlier)
            ]
        new[_path(topic, len(stored) + 1, folder)] = schema
    if problems:
        raise UserError("\n".join(problems))
    for path, schema in new.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    return list(new)


def _path(topic: str, version: int, folder: Path) -> Path:
    return folder / f"{topic}.{version}.avsc"
