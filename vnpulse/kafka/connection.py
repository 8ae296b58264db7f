"""What every client needs to reach the broker, and how its errors become ours."""

from __future__ import annotations

import importlib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import (
    AuthorizationError,
    InvalidProducerEpochError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    OutOfOrderSequenceNumberError,
    SaslAuthenticationFailedError,
    UnknownProducerIdError,
    UnsupportedSaslMechanismError,
)

from vnpulse.errors import BrokerUnavailable, SettingsError, VnpulseError
from vnpulse.kafka.client import Client, ListenerRefused
from vnpulse.kafka.security import KafkaSecurity
from vnpulse.kafka.settings import KafkaSettings

BOOTSTRAP_TIMEOUT_MS = 15_000
"""Long enough for a broker that is just starting, short enough for a person who mistyped an address."""

CODEC_MODULES = {"gzip": "gzip", "snappy": "snappy", "lz4": "lz4.frame", "zstd": "zstandard"}

LOST_COUNT = (OutOfOrderSequenceNumberError, UnknownProducerIdError, InvalidProducerEpochError)
"""The broker and an idempotent producer do not agree on what was sent last: a broker died, or a batch of it
was given up. Nothing is wrong with the records, and a new producer counts from the beginning."""


class KafkaRefused(VnpulseError):
    """The broker answered, and said no: a request that it cannot accept."""


class KafkaDenied(KafkaRefused):
    """Credentials, certificates or ACLs are not what they must be.

    Retriable, because an operator puts that right while pipelines wait: records must not be given up, or
    end as dead letters, for want of a permission.
    """

    retriable = True


class _Secret(str):
    """A password as kafka-python takes it, which shows its configuration in debug lines."""

    def __repr__(self) -> str:
        return "'**********'"


def client_options(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return the keyword arguments that consumers, producers and admin clients share.

    Reads files of passwords, keys and certificates anew. Raises SettingsError.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": client_id,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "security_protocol": settings.security.protocol,
        "kafka_client": Client,
    }
    security = settings.security
    if security.protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": _Secret(security.read_password().get_secret_value()),
        }
    if security.protocol.endswith("SSL"):
        options["ssl_context"] = _tls(security)
    return options


def _tls(security: KafkaSecurity) -> ssl.SSLContext:
    """TLS of 1.2 or newer; the broker's certificate must be signed by a known authority and name the host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if security.ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(security.ca_file)
        except OSError as error:
            raise SettingsError(f"kafka.security.ca_file: {security.ca_file}: {_reason(error)}") from None
    if security.certificate_file is not None:
        password = security.read_key_password().get_secret_value()
        try:
            # A password always, or OpenSSL would ask for one at the terminal.
            context.load_cert_chain(security.certificate_file, security.key_file, lambda: password)
        except (OSError, ValueError) as error:
            files = ", ".join(map(str, filter(None, (security.certificate_file, security.key_file))))
            raise SettingsError(
                f"kafka.security.certificate_file, key_file: {files}: {_reason(error)}"
                " (are they PEM, do they belong together, is KAFKA_KEY_PASSWORD right?)"
            ) from None
    return context


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)


@contextmanager
def translated(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Turn the client's errors into ours: one line that says what was tried and where."""
    where = ", ".join(settings.bootstrap_servers)
    try:
        yield
    except ListenerRefused as error:
        raise KafkaDenied(f"{doing}: Kafka at {where}: {error}") from error
    except (SaslAuthenticationFailedError, UnsupportedSaslMechanismError) as error:
        user = settings.security.username
        raise KafkaDenied(
            f"{doing}: Kafka at {where} refused the credentials of {user}: {_said(error)}"
        ) from error
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError) as error:
        protocol = settings.security.protocol
        raise BrokerUnavailable(f"{doing}: Kafka at {where} does not answer ({protocol}): {error}") from error
    except KafkaError as error:
        if isinstance(error, AuthorizationError) or _AUTHORISATION.search(str(error)):
            who = settings.security.username or "this client"
            raise KafkaDenied(
                f"{doing}: {who} is not authorised on Kafka at {where}: {_said(error)}"
            ) from error
        if error.retriable or isinstance(error, LOST_COUNT):
            raise BrokerUnavailable(f"{doing}: Kafka at {where}: {error!r}") from error
        raise KafkaRefused(f"{doing}: Kafka at {where}: {error!r}") from error


_AUTHORISATION = re.compile(r"(\w+)AuthorizationFailedError")
"""What kafka-python also wraps in errors of other types."""


def _said(error: KafkaError) -> str:
    """Return what the broker said, without the whole request that some of its answers repeat."""
    said = error.args[0] if error.args else ""
    text = ", ".join(sorted(said)) if isinstance(said, set | frozenset) else str(said)
    text = text.removeprefix(f"{type(error).__name__}: ")
    of_what = _AUTHORISATION.search(f"{text} {type(error).__name__}")
    if of_what is None:
        return text or type(error).__name__
    # Topic, Group, Cluster, TransactionalId
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", of_what[1]).lower()
    return kind if not text or of_what[0] in text or "Request(" in text else f"{kind} {text}"


def require_codecs(names: set[str]) -> None:
    """Fail now if a codec that some topic uses cannot be read here.

    A consumer without the codec of a batch returns nothing and says nothing.
    """
    for name in sorted(names - {"none"}):
        module = CODEC_MODULES[name]
        try:
            importlib.import_module(module)
        except ImportError:
            raise SettingsError(
                f"configs/topics.yaml: compression {name} needs the Python module {module}:"
                " install kafka-python with its extras (make setup)"
            ) from None
