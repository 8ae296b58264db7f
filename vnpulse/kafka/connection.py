"""What every client needs to reach the broker, and how its errors become ours."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)

from vnpulse.errors import BrokerUnavailable, SettingsError, VnpulseError
from vnpulse.settings import KafkaSettings

BOOTSTRAP_TIMEOUT_MS = 15_000
"""Long enough for a broker that is just starting, short enough for a person who mistyped an address."""

CODEC_MODULES = {"gzip": "gzip", "snappy": "snappy", "lz4": "lz4.frame", "zstd": "zstandard"}


class KafkaRefused(VnpulseError):
    """The broker answered, and said no: not authorised, or a request that it cannot accept."""


def client_options(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return the keyword arguments that consumers, producers and admin clients share."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": client_id,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "security_protocol": settings.security.protocol,
    }
    security = settings.security
    if security.protocol.startswith("SASL"):
        assert security.password is not None  # the settings' own check
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password.get_secret_value(),
        }
    if security.protocol.endswith("SSL"):
        options |= {
            "ssl_check_hostname": True,
            "ssl_cafile": str(security.ca_file) if security.ca_file else None,
            "ssl_certfile": str(security.certificate_file) if security.certificate_file else None,
            "ssl_keyfile": str(security.key_file) if security.key_file else None,
        }
    return options


@contextmanager
def translated(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Turn the client's errors into ours: one line that says what was tried and where."""
    where = ", ".join(settings.bootstrap_servers)
    try:
        yield
    except SaslAuthenticationFailedError as error:
        raise KafkaRefused(f"{doing}: Kafka at {where} refused the credentials: {error}") from error
    except (AuthorizationError, TopicAuthorizationFailedError) as error:
        raise KafkaRefused(f"{doing}: not authorised on Kafka at {where}: {error}") from error
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError) as error:
        raise BrokerUnavailable(f"{doing}: Kafka at {where} does not answer: {error}") from error
    except KafkaError as error:
        if error.retriable:
            raise BrokerUnavailable(f"{doing}: Kafka at {where}: {error!r}") from error
        raise KafkaRefused(f"{doing}: Kafka at {where}: {error!r}") from error


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
