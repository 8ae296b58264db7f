"""Who gets in, with what, and what everybody else is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.integration.security.conftest import SecuredBroker
from tests.integration.waiting import eventually
from vnpulse.errors import SettingsError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.connection import KafkaDenied
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.kafka.users import put_users
from vnpulse.security.certificates import CertificateAuthority
from vnpulse.topics import NOTIFICATION_GROUP, load_topics

USER = "vnpulse-notification"
"""May read alerts, write their dead letters, and describe topics: a right for each kind of client."""

WRONG = "wr0ng-p4ss"


def produce(kafka: KafkaSettings, topic: str = "alerts_dlq") -> tuple[int, int]:
    """Send one record and return where it is."""
    producer = StockKafkaProducer(kafka, load_topics(), "test")
    places: list[tuple[int, int]] = []
    try:
        producer.send(
            kafka.topic(topic),
            "VCB",
            b"x",
            on_append=lambda partition, offset, _: places.append((partition, offset)),
        )
        producer.flush()
        assert eventually(lambda: places)
        return places[0]
    finally:
        producer.close()


def consume(kafka: KafkaSettings, topic: str = "alerts", group: str = NOTIFICATION_GROUP) -> dict[int, int]:
    """Take up a topic as a group, poll, commit; return the positions."""
    consumer = AssignedConsumer(kafka, kafka.topic(topic), [0], kafka.group(group), "test")
    try:
        consumer.poll(100)
        consumer.commit(consumer.positions)
        return consumer.positions
    finally:
        consumer.close()


def describe(kafka: KafkaSettings) -> int:
    """Ask for a topic; return its partitions."""
    with KafkaAdmin(kafka) as admin:
        return admin.topics([kafka.topic("alerts")])[kafka.topic("alerts")].partitions


CLIENTS: dict[str, Callable[[KafkaSettings], object]] = {
    "producer": produce,
    "consumer": consume,
    "admin": describe,
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "certificate"])
def test_right_credentials_work(secured: SecuredBroker, mechanism: str, client: str) -> None:
    certified = mechanism == "certificate"
    kafka = secured.certificate(USER) if certified else secured.user(USER, mechanism=mechanism)
    CLIENTS[client](kafka)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority that the broker does not know, and a certificate of it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    authority = CertificateAuthority.create("somebody else")
    authority.write(folder / "ca.pem", folder / "ca.key")
    certificate, key = authority.issue(USER)
    (folder / "user.pem").write_bytes(certificate + key)
    return folder


def refused_settings(secured: SecuredBroker, elsewhere: Path, mistake: str) -> KafkaSettings:
    wrong = SecretStr(WRONG)
    port = secured.node.port
    match mistake:
        case "password":
            return secured.user(USER, password=wrong)
        case "password with SCRAM-SHA-256":
            return secured.user(USER, password=wrong, mechanism="SCRAM-SHA-256")
        case "password with PLAIN":
            return secured.user(USER, password=wrong, mechanism="PLAIN")
        case "unknown user":
            return secured.user(USER, username="nobody")
        case "unknown authority":
            return secured.user(USER, ca_file=elsewhere / "ca.pem")
        case "other host name":
            kafka = secured.user(USER)
            return kafka.model_copy(update={"bootstrap_servers": (f"localhost:{port}",)})
        case "plaintext":
            return secured.settings(secured.node.bootstrap)
        case "password in plaintext":
            return secured.user(USER, protocol="SASL_PLAINTEXT")
        case "no certificate":
            return secured.certificate(USER, certificate_file=None, key_file=None)
        case _:
            return secured.certificate(USER, certificate_file=elsewhere / "user.pem", key_file=None)


MISTAKES = {
    "password": f"refused the credentials of {USER}: .*invalid credentials",
    "password with SCRAM-SHA-256": f"refused the credentials of {USER}: .*invalid credentials",
    "password with PLAIN": f"refused the credentials of {USER}: .*Invalid username or password",
    "unknown user": "refused the credentials of nobody",
    "unknown authority": "certificate is not accepted: unable to get local issuer",
    "other host name": "certificate is not accepted: Hostname mismatch.*'localhost'",
    "plaintext": "this listener speaks TLS: set kafka.security.protocol",
    "password in plaintext": "this listener speaks TLS: set kafka.security.protocol",
    "no certificate": "the broker does not accept our certificate",
    "certificate of another authority": "the broker does not accept our certificate",
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_credentials_are_one_line_that_says_what_is_wrong(
    secured: SecuredBroker, elsewhere: Path, mistake: str, client: str
) -> None:
    kafka = refused_settings(secured, elsewhere, mistake)
    with pytest.raises(KafkaDenied, match=MISTAKES[mistake]) as caught:
        CLIENTS[client](kafka)
    said = str(caught.value)
    assert "\n" not in said
    assert kafka.bootstrap_servers[0] in said
    assert WRONG not in said


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_no_log_line_shows_a_password(
    secured: SecuredBroker, caplog: pytest.LogCaptureFixture, mechanism: str
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="kafka")
    kafka = secured.user(USER, mechanism=mechanism)
    for client in CLIENTS.values():
        client(kafka)
    with pytest.raises(KafkaDenied):
        describe(secured.user(USER, mechanism=mechanism, password=SecretStr(WRONG)))
    assert "kafka" in caplog.text
    assert WRONG not in caplog.text
    assert secured.trial.users()[USER] not in caplog.text


def test_a_private_key_may_have_a_password_of_its_own(secured: SecuredBroker, tmp_path: Path) -> None:
    authority = CertificateAuthority.load(secured.trial.ca_file, secured.trial.path / "ca.key")
    certificate, key = authority.issue(USER, key_password="key-p4ss")
    (tmp_path / "user.pem").write_bytes(certificate)
    (tmp_path / "user.key").write_bytes(key)
    (tmp_path / "password").write_text("key-p4ss\n")
    files = {"certificate_file": tmp_path / "user.pem", "key_file": tmp_path / "user.key"}
    describe(secured.certificate(USER, **files, key_password_file=tmp_path / "password"))
    for given in ({}, {"key_password": SecretStr(WRONG)}):
        with pytest.raises(SettingsError, match="KAFKA_KEY_PASSWORD") as caught:
            describe(secured.certificate(USER, **files, **given))
        assert WRONG not in str(caught.value)


def test_a_rotated_password_is_taken_up_without_a_restart(secured: SecuredBroker, tmp_path: Path) -> None:
    user, file = "vnpulse-analysis", tmp_path / "password"
    file.write_text(secured.trial.users()[user])
    kafka = secured.user(user, password=None, password_file=file)
    describe(kafka)
    put_users(secured.super_user(), {user: "rotated"})
    with pytest.raises(KafkaDenied, match="refused the credentials"):
        describe(kafka)
    file.write_text("rotated\n")
    describe(kafka)
    put_users(secured.super_user(), {user: secured.trial.users()[user]})
