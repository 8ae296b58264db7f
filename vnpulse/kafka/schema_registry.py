"""The schema registry, through Confluent's client. Anything with the same API does: Confluent's own,
Apicurio (``/apis/ccompat/v7``), Karapace, Redpanda."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from httpx2 import HTTPError

from vnpulse.errors import SchemaUnavailable, SettingsError, VnpulseError
from vnpulse.serialization.settings import RegistrySettings

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, INCOMPATIBLE = 401, 403, 404, 409
SUBJECT_NOT_FOUND, VERSION_NOT_FOUND, SCHEMA_NOT_FOUND, COMPATIBILITY_NOT_SET = 40401, 40402, 40403, 40408
NOT_FOUND_CODES = range(40400, 40500)
"""A 404 with another code, or none, comes from something that is no registry."""

UNKNOWN_REMEMBERED_S = 60.0
"""How long an id that the registry did not know is not asked for again: noise must not become requests."""

UNKNOWN_REMEMBERED = 10_000

BACKWARD = "BACKWARD"


class SchemaRefused(VnpulseError):
    """The registry will not have a schema: it could not read what earlier ones wrote."""


class Registered(NamedTuple):
    """One schema of a subject as the registry has it."""

    schema_id: int
    version: int
    schema: str


class ConfluentSchemaRegistry:
    """Asks the registry, once for each schema and id; see vnpulse.serialization.avro_codec.SchemaRegistry."""

    def __init__(self, settings: RegistrySettings) -> None:
        """Raises SettingsError for a CA file that holds none. Connects at the first question."""
        self._where = ", ".join(settings.urls)
        self._username = settings.username
        options: dict[str, object] = {
            "url": settings.url,
            "timeout": settings.timeout_s,
            # Who asks tries again at its own pace.
            "max.retries": 0,
        }
        if settings.username is not None and settings.password is not None:
            options["basic.auth.user.info"] = f"{settings.username}:{settings.password.get_secret_value()}"
        if settings.ca_file is not None:
            options["ssl.ca.location"] = str(settings.ca_file)
        try:
            self._client = SchemaRegistryClient(options)
        except OSError as error:  # ssl.SSLError is one
            raise SettingsError(
                f"serialization.registry.ca_file: was {settings.ca_file}, cannot be used: {error}"
            ) from error
        self._unknown: dict[int, float] = {}

    def schema_of(self, schema_id: int) -> str | None:
        """Return the Avro schema with this id; None if there is none. Raises SchemaUnavailable."""
        if self._unknown.get(schema_id, 0.0) > time.monotonic():
            return None
        with self._translated(f"schema {schema_id}"):
            try:
                found = self._client.get_schema(schema_id)
            except SchemaRegistryError as error:
                if error.error_code != SCHEMA_NOT_FOUND:
                    raise
                while len(self._unknown) >= UNKNOWN_REMEMBERED:
                    del self._unknown[next(iter(self._unknown))]
                self._unknown[schema_id] = time.monotonic() + UNKNOWN_REMEMBERED_S
                return None
        return found.schema_str if found.schema_type in (None, "AVRO") else None

    def id_of(self, subject: str, schema: str) -> int | None:
        """Return the id of ``schema`` in ``subject``; None if it is not there. Raises SchemaUnavailable."""
        found = self.lookup(subject, schema)
        return found.schema_id if found else None

    def lookup(self, subject: str, schema: str) -> Registered | None:
        """Return ``schema`` as it is registered in ``subject``; None if it is not."""
        with self._translated(subject):
            try:
                found = self._client.lookup_schema(subject, Schema(schema, "AVRO"))
            except SchemaRegistryError as error:
                if error.error_code in (SUBJECT_NOT_FOUND, SCHEMA_NOT_FOUND):
                    return None
                raise
        return Registered(found.schema_id or 0, found.version or 0, schema)

    def latest(self, subject: str) -> Registered | None:
        """Return the newest schema of ``subject`` as of now; None if it has none."""
        self._client.clear_latest_caches()
        with self._translated(subject):
            try:
                found = self._client.get_latest_version(subject)
            except SchemaRegistryError as error:
                if error.error_code in (SUBJECT_NOT_FOUND, VERSION_NOT_FOUND):
                    return None
                raise
        return Registered(found.schema_id or 0, found.version or 0, found.schema.schema_str or "")

    def is_compatible(self, subject: str, schema: str) -> bool:
        """Say whether ``subject``, which exists, would take ``schema`` as its next version."""
        with self._translated(subject):
            return self._client.test_compatibility_all_versions(subject, Schema(schema, "AVRO"))

    def register(self, subject: str, schema: str) -> Registered:
        """Make ``schema`` a version of ``subject``, which from then on takes only schemas that can read
        what the version before wrote. Repeating it changes nothing. Raises SchemaRefused."""
        if self.latest(subject) is not None:
            self._require_backward(subject)
            if (found := self.lookup(subject, schema)) is not None:
                return found
        with self._translated(subject):
            try:
                self._client.register_schema(subject, Schema(schema, "AVRO"))
            except SchemaRegistryError as error:
                if error.http_status_code != INCOMPATIBLE:
                    raise
                raise SchemaRefused(
                    f"{subject}: {self._where} refuses the schema: {error.error_message}"
                ) from error
        self._require_backward(subject)
        found = self.lookup(subject, schema)
        if found is None:
            raise SchemaUnavailable(f"{subject}: {self._where} does not show the schema that it just took")
        return found

    def _require_backward(self, subject: str) -> None:
        with self._translated(subject):
            try:
                level = self._client.get_compatibility(subject)
            except SchemaRegistryError as error:
                if error.error_code not in (SUBJECT_NOT_FOUND, COMPATIBILITY_NOT_SET):
                    raise
                level = ""
            if level != BACKWARD:
                self._client.set_compatibility(subject, BACKWARD)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn the client's errors into one line that says what was asked for and where."""
        try:
            yield
        except SchemaRegistryError as error:
            if error.http_status_code in (UNAUTHORIZED, FORBIDDEN):
                who = f"user {self._username}" if self._username else "requests without a user"
                raise SchemaUnavailable(
                    f"{what}: the schema registry at {self._where} refuses {who}"
                    f" (HTTP {error.http_status_code})"
                ) from error
            if error.http_status_code == NOT_FOUND and error.error_code not in NOT_FOUND_CODES:
                raise self._no_registry(what) from error
            raise SchemaUnavailable(
                f"{what}: the schema registry at {self._where} answered"
                f" HTTP {error.http_status_code}: {_first_line(error.error_message)}"
            ) from error
        except HTTPError as error:
            detail = _first_line(str(error)) or type(error).__name__
            raise SchemaUnavailable(
                f"{what}: the schema registry at {self._where} does not answer: {detail}"
            ) from error
        except json.JSONDecodeError as error:
            raise self._no_registry(what) from error

    def _no_registry(self, what: str) -> SchemaUnavailable:
        return SchemaUnavailable(
            f"{what}: what answers at {self._where} is no schema registry; is the path right?"
        )


def _first_line(text: object) -> str:
    return next(iter(str(text).splitlines()), "")[:300]
