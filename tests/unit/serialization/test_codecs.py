"""Which codec a topic gets, and how a person sees a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.unit.serialization.conftest import MemoryRegistry
from tests.unit.serialization.samples import ALERT, BAR, FULL
from vnpulse.decoding import decode_each
from vnpulse.errors import SettingsError
from vnpulse.messages import PriceBar, encode
from vnpulse.serialization.avro_schemas import avro_schema
from vnpulse.serialization.codecs import MessageCodecs, open_codecs
from vnpulse.settings import Settings, load_settings
from vnpulse.topics import ALERTS, MESSAGE_TYPES, PRICES

URL = "http://127.0.0.1:1"


def settings_of(folder: Path, serialization: dict[str, Any], **environment: str) -> Settings:
    path = folder / "vnpulse.yaml"
    kafka = {"topic_prefix": "p."}
    path.write_text(yaml.safe_dump({"embedded": {}, "kafka": kafka, "serialization": serialization}))
    return load_settings(path, environment)


def codecs_of(folder: Path, registry: MemoryRegistry | None, *avro: str) -> MessageCodecs:
    formats = dict.fromkeys(avro, "avro")
    return MessageCodecs(
        settings_of(folder, {"formats": formats, "registry": {"url": URL}} if avro else {}), registry
    )


def register_all(registry: MemoryRegistry) -> None:
    for topic, struct in MESSAGE_TYPES.items():
        registry.add(avro_schema(struct), f"p.{topic}-value")


def test_without_a_registry_everything_is_json(tmp_path: Path) -> None:
    codecs = open_codecs(settings_of(tmp_path, {}))
    for topic, message in zip(MESSAGE_TYPES, FULL, strict=True):
        assert codecs.encoder(topic)(message) == codecs.from_json(topic)(encode(message)) == encode(message)
        assert codecs.decoder(type(message))(encode(message)) == message
    assert codecs.unregistered() == []


def test_each_topic_is_written_as_its_format_says_and_both_are_read(
    tmp_path: Path, registry: MemoryRegistry
) -> None:
    register_all(registry)
    codecs = codecs_of(tmp_path, registry, PRICES)
    assert codecs.encoder(ALERTS)(ALERT) == encode(ALERT)
    avro = codecs.encoder(PRICES)(BAR)
    assert avro[0] == 0
    assert codecs.from_json(PRICES)(encode(BAR)) == avro
    values: list[bytes | None] = [encode(BAR), avro, encode(BAR), avro, b"", b"\0", None]
    read, rows, rejections = decode_each(values, codecs.decoder(PriceBar))
    assert (read, rows) == ([BAR] * 4, [0, 1, 2, 3])
    assert [r.reason for r in rejections] == ["not-json", "bad-avro", "null-value"]


def test_a_schema_that_is_not_registered_is_named(tmp_path: Path, registry: MemoryRegistry) -> None:
    codecs = codecs_of(tmp_path, registry, PRICES, ALERTS)
    registry.add(avro_schema(PriceBar), f"p.{PRICES}-value")
    assert codecs.unregistered() == [f"p.{ALERTS}-value"]


def test_a_person_sees_json_whatever_a_record_is_written_in(tmp_path: Path, registry: MemoryRegistry) -> None:
    register_all(registry)
    codecs = codecs_of(tmp_path, registry, ALERTS)
    assert codecs.readable(encode(ALERT)) == encode(ALERT).decode()
    text, _, note = codecs.readable(codecs.encoder(ALERTS)(ALERT)).rpartition(" (")
    assert note == "Avro, schema 5)"
    shown = msgspec.json.decode(text)
    assert (shown["symbol"], shown["message"]) == ("VCB", "giảm sàn")
    assert codecs.readable(b"\0\0\0\0\x63\xff") == (
        "the schema registry knows no Avro schema 99; bytes: 0000000063ff"
    )
    registry.away = True
    assert codecs.readable(b"\0\0\0\0\x01\xff").endswith("away; bytes: 0000000001ff")
    assert codecs_of(tmp_path, None).readable(b"\0\xffx") == "\0\\xffx"


@pytest.mark.parametrize(
    ("serialization", "says"),
    [
        ({"formats": {ALERTS: "avro"}}, "serialization: format avro needs registry.url"),
        ({"formats": {"trades": "avro"}}, "serialization.formats.trades"),
        ({"formats": {ALERTS: "protobuf"}}, "'json' or 'avro'"),
        ({"registry": {"url": "registry:8081"}}, "url must begin with http:// or https://"),
        ({"registry": {"url": "http://x, ftp://me:topsecret@y"}}, "url must begin with"),
        ({"registry": {"url": "http://me:topsecret@x"}}, "url must not hold a password"),
        ({"registry": {"username": "me"}}, "SCHEMA_REGISTRY_PASSWORD are needed together"),
        ({"registry": {"username": "me", "password": "topsecret"}}, "password: does not belong into a"),
        ({"registry": {"ca_file": "/nowhere/ca.pem"}}, "registry.ca_file: was /nowhere/ca.pem, no such file"),
    ],
)
def test_a_mistake_is_one_line_that_shows_no_password(
    tmp_path: Path, serialization: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(tmp_path, serialization)
    assert says in str(caught.value)
    assert "topsecret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_environment_gives_the_address_and_the_secrets(tmp_path: Path) -> None:
    environment = {
        "SCHEMA_REGISTRY_URL": URL,
        "SCHEMA_REGISTRY_USERNAME": "me",
        "SCHEMA_REGISTRY_PASSWORD": "topsecret",
    }
    settings = settings_of(tmp_path, {"formats": {ALERTS: "avro"}}, **environment)
    assert settings.serialization.registry.urls == [URL]
    assert "topsecret" not in repr(settings)


def test_a_ca_file_that_holds_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    settings = settings_of(tmp_path, {"registry": {"url": URL, "ca_file": str(file)}})
    with pytest.raises(SettingsError, match=r"registry\.ca_file: was .*ca\.pem, cannot be used"):
        open_codecs(settings)
