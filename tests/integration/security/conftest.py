"""One broker that speaks TLS only and asks an authorizer, for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.integration.waiting import eventually
from vnpulse.acls import load_acls, wanted_acls
from vnpulse.embedded.kafka import KafkaNode, KafkaNodeConfig
from vnpulse.embedded.kafka_security import NodeSecurity
from vnpulse.embedded.ports import PortBook
from vnpulse.kafka.acls import AclAdmin
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.security import KafkaSecurity
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.kafka.users import put_users
from vnpulse.security.trial import BROKER_USER, TrialFolder
from vnpulse.topics import TopicChange, load_topics

PREFIX = "sec."
STRANGER = "stranger"
"""A user without a single right."""


@dataclass
class SecuredBroker:
    """The broker, and settings of everybody who wants something of it."""

    node: KafkaNode
    trial: TrialFolder

    def user(self, name: str, **security: Any) -> KafkaSettings:
        """Return the settings of a user with a password; ``security`` changes single ones."""
        given: dict[str, Any] = {
            "protocol": "SASL_SSL",
            "mechanism": "SCRAM-SHA-512",
            "ca_file": self.trial.ca_file,
            "username": name,
            "password": SecretStr(self.trial.users()[name]),
        }
        return self.settings(self.node.bootstrap, **(given | security))

    def certificate(self, name: str, **security: Any) -> KafkaSettings:
        """Return the settings of a user with a certificate."""
        given: dict[str, Any] = {
            "protocol": "SSL",
            "ca_file": self.trial.ca_file,
            "certificate_file": self.trial.certificate_file(name),
            "key_file": self.trial.key_file(name),
        }
        return self.settings(self.node.ssl_bootstrap or "", **(given | security))

    def super_user(self) -> KafkaSettings:
        """Return the settings of the broker's own user."""
        return self.certificate(BROKER_USER, certificate_file=self.trial.broker_file, key_file=None)

    def settings(self, bootstrap: str, **security: Any) -> KafkaSettings:
        """Return settings for an address."""
        return KafkaSettings(
            bootstrap_servers=(bootstrap,), topic_prefix=PREFIX, security=KafkaSecurity(**security)
        )


@pytest.fixture(scope="package")
def secured() -> Iterator[SecuredBroker]:
    """With all topics, the users of configs/acls.yaml and their rights; its certificate names 127.0.0.1."""
    folder = Path(tempfile.mkdtemp(prefix="vnp-"))
    trial = TrialFolder(folder / "trial")
    topics = load_topics()
    file = load_acls(topics)
    trial.complete([*file.users(), STRANGER], ["127.0.0.1"])
    node = KafkaNode(
        KafkaNodeConfig(
            folder=folder / "kafka",
            heap_mb=256,
            security=NodeSecurity(
                ca_file=trial.ca_file,
                broker_file=trial.broker_file,
                super_user=BROKER_USER,
                plain_users=trial.users(),
            ),
        ),
        PortBook(folder / "ports.json"),
    )
    broker = SecuredBroker(node, trial)
    try:
        node.start()
        owner = broker.super_user()
        put_users(owner, trial.users())
        with AclAdmin(owner) as acls:
            acls.add(wanted_acls(file, topics, owner))
        with KafkaAdmin(owner) as admin:
            specs = {owner.topic(name): spec for name, spec in topics.items()}
            admin.apply([TopicChange(name, "create", "") for name in specs], specs, 1)
            # The first question about a group makes the broker's own topic for groups.
            assert eventually(lambda: admin.lag("first", list(specs)))
        yield broker
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)
