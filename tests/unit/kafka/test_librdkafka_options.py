"""The same settings reach both client libraries, in each one's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from pydantic import SecretStr

from vnpulse.errors import BrokerUnavailable, VnpulseError
from vnpulse.kafka.confluent_connection import Failures, librdkafka_options, request_seconds, translated
from vnpulse.kafka.connection import KafkaRefused
from vnpulse.settings import KafkaSecurity, KafkaSettings

SERVERS = ("one:9092", "two:9092")


def options(**security: object) -> dict[str, object]:
    settings = KafkaSettings(bootstrap_servers=SERVERS, security=KafkaSecurity.model_validate(security))
    found = librdkafka_options(settings, "client")
    # The library itself knows every name and value, or says so here.
    tried = found | {"group.id": "g"} | ({"ssl.ca.location": "probe"} if "ssl.ca.location" in found else {})
    Consumer(tried).close()
    return {name: value for name, value in found.items() if name.startswith(("sasl", "ssl", "sec", "boot"))}


def test_plaintext_is_addresses_only() -> None:
    assert options() == {"bootstrap.servers": "one:9092,two:9092", "security.protocol": "PLAINTEXT"}


def test_scram_over_tls_checks_the_host_against_the_authority() -> None:
    found = options(
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username="collector",
        password=SecretStr("hunter2"),
        ca_file=Path("/etc/ca.pem"),
    )
    assert found == {
        "bootstrap.servers": "one:9092,two:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "collector",
        "sasl.password": "hunter2",
        "ssl.ca.location": "/etc/ca.pem",
        "ssl.endpoint.identification.algorithm": "https",
    }


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TRANSPORT, BrokerUnavailable),
        (KafkaError._TIMED_OUT, BrokerUnavailable),
        (KafkaError._MSG_TIMED_OUT, BrokerUnavailable),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, BrokerUnavailable),
        (KafkaError.SASL_AUTHENTICATION_FAILED, KafkaRefused),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaRefused),
        (KafkaError.MSG_SIZE_TOO_LARGE, KafkaRefused),
    ],
)
def test_errors_become_ours(code: int, kind: type[VnpulseError]) -> None:
    settings = KafkaSettings(bootstrap_servers=SERVERS)
    with (
        pytest.raises(kind, match=r"consume alerts: .*one:9092, two:9092") as caught,
        translated(settings, "consume alerts"),
    ):
        raise KafkaException(KafkaError(code))
    assert "\n" not in str(caught.value)


def test_a_timeout_after_refused_credentials_is_refused_credentials() -> None:
    failures = Failures()
    failures.heard(KafkaError(KafkaError._AUTHENTICATION))
    settings = KafkaSettings(bootstrap_servers=SERVERS)
    with pytest.raises(KafkaRefused, match="refused the cred"), translated(settings, "consume", failures):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def test_only_brokers_that_were_asked_have_a_request_time() -> None:
    statistics = '{"brokers": {"a": {"rtt": {"cnt": 2, "avg": 1500}}, "b": {"rtt": {"cnt": 0, "avg": 0}}}}'
    assert list(request_seconds(statistics)) == [0.0015]
