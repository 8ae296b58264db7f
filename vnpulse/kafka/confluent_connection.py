"""What every confluent-kafka client needs to reach the broker, and how its errors become ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.connection import BOOTSTRAP_TIMEOUT_MS, KafkaDenied, KafkaRefused, client_options
from vnpulse.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = BOOTSTRAP_TIMEOUT_MS / 1000
"""For what the constructor of kafka-python's clients waits for, and this library's do not."""

STATISTICS_INTERVAL_MS = 5_000
"""How often the library says how long its requests took: it gives no single ones."""

NOT_AUTHORISED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
BAD_CREDENTIALS = frozenset(
    {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL}
)
LOST_COUNT = frozenset(
    {
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }
)
AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)


def librdkafka_options(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return the configuration that consumers and producers share; the counterpart of ``client_options``.

    Reads files of passwords, keys and certificates anew. Raises SettingsError.
    """
    # Looks into every file and names the one that cannot be used; this library names none.
    client_options(settings, client_id)
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": client_id,
        "security.protocol": settings.security.protocol,
        "statistics.interval.ms": STATISTICS_INTERVAL_MS,
        "logger": log,
    }
    security = settings.security
    if security.protocol.startswith("SASL"):
        options |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": security.read_password().get_secret_value(),
        }
    if security.protocol.endswith("SSL"):
        options["ssl.endpoint.identification.algorithm"] = "https"
        # Without a file, that of the operating system: the library brings no authorities of its own.
        options["ssl.ca.location"] = str(security.ca_file) if security.ca_file else "probe"
        if security.certificate_file is not None:
            options |= {
                "ssl.certificate.location": str(security.certificate_file),
                "ssl.key.location": str(security.key_file or security.certificate_file),
                "ssl.key.password": security.read_key_password().get_secret_value(),
            }
    return options


def has_lost_count(error: KafkaError) -> bool:
    """Say whether an idempotent producer and its broker do not agree on what was sent last.

    See LOST_COUNT in vnpulse.kafka.connection. librdkafka mends that itself where it can; where it cannot,
    the producer is of no use any more.
    """
    return error.fatal() or error.code() in LOST_COUNT


class Failures:
    """What a client has said of its connections: it goes on trying, whatever the reason."""

    def __init__(self) -> None:
        self._credentials: KafkaError | None = None

    def heard(self, error: KafkaError) -> None:
        """Take up what the client's ``error_cb`` is called with."""
        if error.code() in BAD_CREDENTIALS:
            self._credentials = error

    def better_than(self, error: KafkaError) -> KafkaError:
        """Return the reason for ``error``, if it says only that there was no answer in time."""
        return self._credentials if self._credentials and error.code() in AWAY else error


@contextmanager
def translated(settings: KafkaSettings, doing: str, failures: Failures | None = None) -> Iterator[None]:
    """Turn the client's errors into ours; the counterpart of vnpulse.kafka.connection.translated."""
    try:
        yield
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
        if failures is not None:
            error = failures.better_than(error)
        where = ", ".join(settings.bootstrap_servers)
        code, said = error.code(), f"{error.name()}: {error.str()}"
        user = settings.security.username or "this client"
        if code in BAD_CREDENTIALS:
            raise KafkaDenied(
                f"{doing}: Kafka at {where} refused the credentials of {user}: {said}"
            ) from raised
        if code in NOT_AUTHORISED:
            raise KafkaDenied(f"{doing}: {user} is not authorised on Kafka at {where}: {said}") from raised
        if has_lost_count(error):
            raise BrokerUnavailable(f"{doing}: Kafka at {where}: {said}") from raised
        if code in AWAY or error.retriable():
            raise BrokerUnavailable(f"{doing}: Kafka at {where} does not answer: {said}") from raised
        raise KafkaRefused(f"{doing}: Kafka at {where}: {said}") from raised


def request_seconds(statistics: str) -> Iterator[float]:
    """Yield, for each broker that was asked since the last time, how long it took on average."""
    for broker in json.loads(statistics)["brokers"].values():
        trip = broker["rtt"]
        if trip["cnt"]:
            yield trip["avg"] / 1_000_000


def on_statistics(seconds: Callable[[float], None]) -> Callable[[str], None]:
    """Return a ``stats_cb`` that hands on what ``request_seconds`` yields."""

    def take(statistics: str) -> None:
        for value in request_seconds(statistics):
            seconds(value)

    return take
