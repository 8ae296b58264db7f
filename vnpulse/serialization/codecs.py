"""Which codec a topic is written with, and how what is read is told apart."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from vnpulse.decoding import Decode, Undecodable
from vnpulse.errors import SchemaUnavailable
from vnpulse.messages import Encode, Message, encode
from vnpulse.serialization.avro_codec import (
    MAGIC_BYTE,
    AvroDecoder,
    AvroEncoder,
    SchemaRegistry,
    read_record,
    schema_id_of,
    writer_schema,
)
from vnpulse.serialization.avro_schemas import avro_schema, schema_text
from vnpulse.settings import Settings
from vnpulse.topics import MESSAGE_TYPES

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def subject_of(topic: str) -> str:
    """Return the registry's subject for the values of ``topic`` (its name on the cluster)."""
    return f"{topic}-value"


class MessageCodecs:
    """Encoders by topic, as the settings choose, and decoders that take JSON and Avro mixed.

    Without a registry everything is JSON, and nothing of Avro is on the way.
    """

    def __init__(self, settings: Settings, registry: SchemaRegistry | None) -> None:
        """Use ``registry`` for what is Avro; see `open_codecs` for the real one."""
        self._kafka = settings.kafka
        self._registry = registry
        formats = settings.serialization.formats
        self.avro_topics: frozenset[str] = frozenset(t for t, form in formats.items() if form == "avro")
        """Topics (names without prefix) that are written in Avro."""

    def encoder(self, topic: str) -> Encode:
        """Return what encodes the messages of ``topic`` (its name without prefix).

        The encoder raises SchemaUnavailable while the id of its schema is not to be had.
        """
        if self._registry is None or topic not in self.avro_topics:
            return encode
        subject = subject_of(self._kafka.topic(topic))
        return AvroEncoder(MESSAGE_TYPES[topic], subject, self._registry)

    def from_json(self, topic: str) -> Encode:
        """Return what makes a record of a message of ``topic`` that is valid JSON: the same, or Avro."""
        if topic not in self.avro_topics:
            return bytes
        encode, decode = self.encoder(topic), msgspec.json.Decoder(MESSAGE_TYPES[topic]).decode
        return lambda value: encode(decode(value))

    def unregistered(self) -> list[str]:
        """Return the subjects that we would write for and that lack our schema. Raises SchemaUnavailable."""
        missing = []
        for topic in sorted(self.avro_topics):
            subject = subject_of(self._kafka.topic(topic))
            assert self._registry is not None
            if self._registry.id_of(subject, schema_text(avro_schema(MESSAGE_TYPES[topic]))) is None:
                missing.append(subject)
        return missing

    def decoder(self, struct: type[_Struct], of: type[Message] | None = None) -> Decode[_Struct]:
        """Return what makes ``struct`` of a record, whatever the record is written in.

        ``of`` is the message type whose fields ``struct`` has some of, if it is not one itself.
        """
        decode_json = msgspec.json.Decoder(struct).decode
        if self._registry is None:
            return decode_json
        decode_avro = AvroDecoder(struct, of or struct, self._registry)

        def decode(value: bytes) -> _Struct:
            return decode_avro(value) if value[:1] == MAGIC_BYTE else decode_json(value)

        return decode

    def readable(self, value: bytes) -> str:
        """Return a record's value for a person's eyes: JSON as it is, Avro as JSON of the fields that it was
        written with; bytes that are neither as hexadecimal digits, after the reason."""
        if value[:1] != MAGIC_BYTE or self._registry is None:
            return value.decode("utf-8", "backslashreplace")
        try:
            schema_id = schema_id_of(value)
            record = read_record(value, writer_schema(schema_id, self._registry))
        except (Undecodable, SchemaUnavailable) as error:
            return f"{error}; bytes: {value.hex()}"
        return f"{msgspec.json.encode(record).decode()} (Avro, schema {schema_id})"

    def close(self) -> None:
        """Let go of the registry."""
        if self._registry is not None:
            self._registry.close()


def open_codecs(settings: Settings) -> MessageCodecs:
    """Return the codecs of a deployment. Connects to nothing yet. Raises SettingsError."""
    registry = settings.serialization.registry
    if registry.url is None:
        return MessageCodecs(settings, None)
    # Here because Confluent's client costs half a second and 20 MB, which JSON alone need not pay.
    from vnpulse.kafka.schema_registry import ConfluentSchemaRegistry

    return MessageCodecs(settings, ConfluentSchemaRegistry(registry))
