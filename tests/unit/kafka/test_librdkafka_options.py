"""The same settings reach both client libraries, in each one's own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException
from pydantic import SecretStr

from vnpulse.errors import BrokerUnavailable, SettingsError, VnpulseError
from vnpulse.kafka.confluent_connection import (
    Failures,
    librdkafka_options,
    request_seconds,
    translated,
)
from vnpulse.kafka.connection import KafkaDenied, KafkaRefused
from vnpulse.kafka.security import KafkaSecurity
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.security.certificates import CertificateAuthority

SERVERS = ("one:9092", "two:9092")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An authority and a client's certificate and key with a password."""
    named = {name: tmp_path / f"{name}.pem" for name in ("ca_file", "certificate_file", "key_file")}
    authority = CertificateAuthority.create("test")
    authority.write(named["ca_file"], tmp_path / "ca.key")
    certificate, key = authority.issue("client", key_password="hunter2")
    named["certificate_file"].write_bytes(certificate)
    named["key_file"].write_bytes(key)
    return named


def options(**security: object) -> dict[str, object]:
    """Return what is about addresses and security, after the library itself has accepted all of it."""
    settings = KafkaSettings(bootstrap_servers=SERVERS, security=KafkaSecurity.model_validate(security))
    found = librdkafka_options(settings, "client")
    Consumer(found | {"group.id": "g"}).close()
    return {name: value for name, value in found.items() if name.startswith(("sasl", "ssl", "sec", "boot"))}


def test_plaintext_is_addresses_only() -> None:
    assert options() == {"bootstrap.servers": "one:9092,two:9092", "security.protocol": "PLAINTEXT"}


def test_scram_over_tls_checks_the_host_against_the_authority(files: dict[str, Path]) -> None:
    found = options(
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username="collector",
        password=SecretStr("hunter2"),
        ca_file=files["ca_file"],
    )
    assert found == {
        "bootstrap.servers": "one:9092,two:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "collector",
        "sasl.password": "hunter2",
        "ssl.ca.location": str(files["ca_file"]),
        "ssl.endpoint.identification.algorithm": "https",
    }


def test_mutual_tls_has_the_key_with_its_password(files: dict[str, Path]) -> None:
    found = options(protocol="SSL", key_password=SecretStr("hunter2"), **files)
    assert found["ssl.certificate.location"] == str(files["certificate_file"])
    assert found["ssl.key.location"] == str(files["key_file"])
    assert found["ssl.key.password"] == "hunter2"


def test_a_file_that_cannot_be_used_is_named(files: dict[str, Path]) -> None:
    files["ca_file"].write_text("no certificate")
    with pytest.raises(SettingsError, match=f"kafka.security.ca_file: {files['ca_file']}"):
        options(protocol="SSL", ca_file=files["ca_file"])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError._TRANSPORT, BrokerUnavailable),
        (KafkaError._TIMED_OUT, BrokerUnavailable),
        (KafkaError._MSG_TIMED_OUT, BrokerUnavailable),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, BrokerUnavailable),
        (KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, BrokerUnavailable),
        (KafkaError.SASL_AUTHENTICATION_FAILED, KafkaDenied),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaDenied),
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
    with pytest.raises(KafkaDenied, match="refused the cred"), translated(settings, "consume", failures):
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def test_only_brokers_that_were_asked_have_a_request_time() -> None:
    statistics = '{"brokers": {"a": {"rtt": {"cnt": 2, "avg": 1500}}, "b": {"rtt": {"cnt": 0, "avg": 0}}}}'
    assert list(request_seconds(statistics)) == [0.0015]
