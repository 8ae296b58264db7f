"""configs/schemas: what the structs generate, and every version that the newest must read."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

from vnpulse.errors import InputFileError, UserError
from vnpulse.serialization.avro_schemas import avro_schema
from vnpulse.serialization.compatibility import incompatibilities
from vnpulse.serialization.schema_files import generate, stored_schemas
from vnpulse.topics import ALERTS, MESSAGE_TYPES, PRICES


@pytest.mark.parametrize("topic", MESSAGE_TYPES)
def test_the_newest_file_is_what_the_struct_generates(topic: str) -> None:
    assert stored_schemas(topic)[-1] == avro_schema(MESSAGE_TYPES[topic]), "run: vnpulse schemas generate"


@pytest.mark.parametrize("topic", MESSAGE_TYPES)
def test_the_struct_reads_what_every_earlier_version_wrote(topic: str) -> None:
    for earlier in stored_schemas(topic):
        assert incompatibilities(avro_schema(MESSAGE_TYPES[topic]), earlier) == []


@pytest.mark.parametrize("topic", MESSAGE_TYPES)
def test_a_schema_is_valid_avro(topic: str) -> None:
    fastavro.parse_schema(avro_schema(MESSAGE_TYPES[topic]))


def test_a_field_without_an_avro_type_is_named() -> None:
    class Odd(msgspec.Struct):
        when: dict[int, str]

    with pytest.raises(TypeError, match=r"Odd\.when"):
        avro_schema(Odd)


def test_generating_writes_what_has_changed_and_nothing_else(tmp_path: Path) -> None:
    assert len(generate(tmp_path)) == len(MESSAGE_TYPES)
    assert generate(tmp_path) == []
    assert all(stored_schemas(topic, tmp_path) == stored_schemas(topic) for topic in MESSAGE_TYPES)


def test_a_changed_struct_gets_a_further_version(tmp_path: Path) -> None:
    generate(tmp_path)
    older = copy.deepcopy(avro_schema(MESSAGE_TYPES[PRICES]))
    del older["fields"][-1]
    (tmp_path / f"{PRICES}.1.avsc").write_text(json.dumps(older))
    assert generate(tmp_path) == [tmp_path / f"{PRICES}.2.avsc"]
    assert stored_schemas(PRICES, tmp_path) == [older, avro_schema(MESSAGE_TYPES[PRICES])]


def test_a_struct_that_cannot_read_an_earlier_version_writes_nothing(tmp_path: Path) -> None:
    generate(tmp_path)
    older = copy.deepcopy(avro_schema(MESSAGE_TYPES[ALERTS]))
    older["fields"][3]["type"]["symbols"].append("panic")
    (tmp_path / f"{ALERTS}.1.avsc").write_text(json.dumps(older))
    (tmp_path / f"{PRICES}.1.avsc").unlink()
    with pytest.raises(UserError, match=r"Alert cannot read version 1 of alerts: priority: .*panic"):
        generate(tmp_path)
    assert not (tmp_path / f"{PRICES}.1.avsc").exists()
    assert not (tmp_path / f"{ALERTS}.2.avsc").exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / f"{ALERTS}.1.avsc").write_text("{")
    with pytest.raises(InputFileError, match=r"alerts\.1\.avsc: cannot be read"):
        stored_schemas(ALERTS, tmp_path)


def changed(change: Any) -> dict[str, Any]:
    schema = copy.deepcopy(avro_schema(MESSAGE_TYPES[ALERTS]))
    change(schema["fields"])
    return schema


DATA, PRIORITY = 6, 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.append({"name": "new", "type": "string", "default": ""}), None),
        (lambda f: f.pop(5), None),
        (lambda f: f[PRIORITY]["type"]["symbols"].append("panic"), None),
        (lambda f: f[5].update(type=["null", "string"], default=None), None),
        (lambda f: f.append({"name": "new", "type": "string"}), "new: a field that older records lack"),
        (lambda f: f[DATA]["type"]["fields"].append({"name": "x", "type": "long"}), "data.x: a field"),
        (lambda f: f[5].update(type="long"), "message: type mismatch"),
        (lambda f: f[PRIORITY]["type"]["symbols"].pop(), "priority: missing enum symbols"),
        (lambda f: f[5].update(name="text"), "text: a field that older records lack"),
    ],
    ids=[
        "a field with a default",
        "a field less",
        "an enum symbol more",
        "optional",
        "a field without a default",
        "such a field inside",
        "another type",
        "an enum symbol less",
        "another name",
    ],
)
def test_compatibility_follows_avro_and_names_the_field(change: Any, says: str | None) -> None:
    found = incompatibilities(changed(change), avro_schema(MESSAGE_TYPES[ALERTS]))
    assert len(found) == (says is not None)
    assert says is None or found[0].startswith(says)


def test_another_record_is_not_compatible() -> None:
    alert, bar = (avro_schema(MESSAGE_TYPES[topic]) for topic in (ALERTS, PRICES))
    assert "name mismatch" in incompatibilities(alert, bar)[0]
