"""What the ACLs of configs/acls.yaml let each component do, and what the others are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.integration.security.conftest import PREFIX, STRANGER, SecuredBroker
from tests.integration.security.test_credentials import consume, produce
from vnpulse.acls import ComponentRights, load_acls
from vnpulse.kafka.acls import AclAdmin
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.connection import KafkaDenied, client_options, translated
from vnpulse.kafka.health import round_trip
from vnpulse.kafka.lags import LagReader
from vnpulse.kafka.passage import BrokerOffsets
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.kafka.users import put_users
from vnpulse.topics import (
    AGGREGATION_GROUP,
    ALERTS,
    ANALYSIS_GROUP,
    CONSUMED,
    NEWS,
    PRICES,
    RESULTS,
    STORAGE_GROUP,
    TRIGGERS,
    TopicChange,
    TopicSpec,
    dead_letter_topic,
    load_topics,
)

PIPELINES = {
    "vnpulse-storage": ([PRICES, NEWS], [TRIGGERS]),
    "vnpulse-analysis": ([TRIGGERS], [RESULTS]),
    "vnpulse-aggregation": ([RESULTS], [ALERTS]),
    "vnpulse-notification": ([ALERTS], []),
}
"""User of each pipeline: what it reads, and what it writes beside its dead letters."""

COMPONENTS: dict[str, ComponentRights] = load_acls(load_topics()).components
EVERY_TOPIC = list(load_topics())


@pytest.fixture(scope="module")
def owner(secured: SecuredBroker) -> Iterator[KafkaAdmin]:
    with KafkaAdmin(secured.super_user()) as admin:
        yield admin


def transact(kafka: KafkaSettings, group: str, topic: str, output: str) -> None:
    """Write one record and a group's offset in one transaction, as a pipeline does."""
    with translated(kafka, f"transaction of {group}"):
        producer = KafkaProducer(
            **client_options(kafka, "test"), transactional_id=f"{kafka.group(group)}.{kafka.topic(topic)}.0"
        )
        try:
            producer.init_transactions()
            producer.begin_transaction()
            producer.send(kafka.topic(output), key=b"VCB", value=b"in a transaction").get(10)
            offsets = {TopicPartition(kafka.topic(topic), 0): OffsetAndMetadata(0, "", -1)}
            producer.send_offsets_to_transaction(offsets, kafka.group(group))
            producer.commit_transaction()
        finally:
            producer.close(timeout=1)


# What must work


@pytest.mark.parametrize("user", PIPELINES)
def test_a_pipeline_can_do_its_work(secured: SecuredBroker, user: str) -> None:
    kafka = secured.user(user)
    inputs, outputs = PIPELINES[user]
    for topic in inputs:
        consume(kafka, topic, CONSUMED[topic])
        produce(kafka, dead_letter_topic(topic))
    for topic in outputs:
        produce(kafka, topic)
        transact(kafka, CONSUMED[inputs[0]], inputs[0], topic)
    with KafkaAdmin(kafka) as admin:  # as a driver does before it starts
        assert len(admin.topics(map(kafka.topic, EVERY_TOPIC))) == len(EVERY_TOPIC)


def test_one_driver_for_all_pipelines_can_do_the_work_of_all(secured: SecuredBroker) -> None:
    kafka = secured.user("vnpulse-pipelines")
    for inputs, outputs in PIPELINES.values():
        for topic in inputs:
            consume(kafka, topic, CONSUMED[topic])
        for topic in outputs:
            produce(kafka, topic)


def test_aggregation_sees_how_far_the_other_groups_are(secured: SecuredBroker) -> None:
    kafka = secured.user("vnpulse-aggregation")
    offsets = BrokerOffsets(kafka, "test")
    for topic in (PRICES, NEWS, TRIGGERS, RESULTS):
        assert len(offsets.ends(kafka.topic(topic))) == load_topics()[topic].partitions
    for topic in (PRICES, NEWS, TRIGGERS):
        offsets.committed(kafka.group(CONSUMED[topic]), kafka.topic(topic))
    offsets.close()


def test_everybody_else_can_do_theirs(secured: SecuredBroker) -> None:
    for topic in (PRICES, NEWS):
        produce(secured.user("vnpulse-collector"), topic)
    produce(secured.user("vnpulse-scheduler"), TRIGGERS)
    with LagReader(secured.user("vnpulse-reader")) as reader:
        assert len(reader.read()) == 26
    operator = secured.user("vnpulse-operator")
    round_trip(operator)
    with KafkaAdmin(operator) as admin:
        states = admin.topics(map(operator.topic, EVERY_TOPIC))
        spec = load_topics()[ALERTS].model_copy(update={"retention_hours": 700})
        admin.apply([TopicChange(operator.topic(ALERTS), "config", "")], {operator.topic(ALERTS): spec}, 1)
    assert len(states) == len(EVERY_TOPIC)


# What must be refused


@pytest.mark.parametrize("user", load_acls(load_topics()).users())
def test_the_broker_gives_nobody_a_right_to_a_topic_that_is_not_in_the_file(
    secured: SecuredBroker, user: str
) -> None:
    """By the broker's own account of who may do what."""
    client = KafkaAdminClient(**client_options(secured.user(user), "test"))
    try:
        described = client.describe_topics([PREFIX + name for name in EVERY_TOPIC])
    finally:
        client.close()
    found = {
        t["name"].removeprefix(PREFIX): {
            operation.title().replace("_", "") for operation in t.get("authorized_operations") or ()
        }
        for t in described
    }
    expected: dict[str, set[str]] = {name: set() for name in EVERY_TOPIC}
    for rights in COMPONENTS.values():
        if f"User:{user}" in rights.principals:
            for operation, names in rights.topics.items():
                for name in EVERY_TOPIC if names == "every" else names:
                    if name in expected:
                        expected[name] |= {operation, IMPLIED.get(operation, operation)}
    assert found == expected


IMPLIED = {
    "Read": "Describe",
    "Write": "Describe",
    "Alter": "Describe",
    "Delete": "Describe",
    "AlterConfigs": "DescribeConfigs",
}
"""What Kafka's authorizer gives with an operation."""


def create_topic(kafka: KafkaSettings) -> None:
    name = kafka.topic(f"made-by-{kafka.security.username}")
    spec = TopicSpec(partitions=1, replication=1, retention_hours=1, compression="none")
    with KafkaAdmin(kafka) as admin:
        admin.apply([TopicChange(name, "create", "")], {name: spec}, 1)


def configure_topic(kafka: KafkaSettings) -> None:
    name = kafka.topic(ALERTS)
    spec = load_topics()[ALERTS].model_copy(update={"retention_hours": 1})
    with KafkaAdmin(kafka) as admin:
        admin.apply([TopicChange(name, "config", "")], {name: spec}, 1)


def look_at_prices(kafka: KafkaSettings) -> None:
    with KafkaAdmin(kafka) as admin:
        admin.topics([kafka.topic(PRICES)])


def change_acls(kafka: KafkaSettings) -> None:
    with AclAdmin(kafka) as admin:
        admin.add(admin.read())


def change_users(kafka: KafkaSettings) -> None:
    put_users(kafka, {"vnpulse-storage": "taken over"})


COLLECTOR, STORAGE, ANALYSIS, AGGREGATION, NOTIFICATION, READER = (
    f"vnpulse-{name}"
    for name in ("collector", "storage", "analysis", "aggregation", "notification", "reader")
)

REFUSALS: dict[str, tuple[str, Callable[[KafkaSettings], object], str, str]] = {
    "collector reads prices": (
        COLLECTOR, lambda k: consume(k, PRICES, STORAGE_GROUP),
        "consume sec.stock_prices_raw", "group sec.storage-consumers",
    ),
    "collector writes triggers": (
        COLLECTOR, lambda k: produce(k, TRIGGERS), "", "topic sec.analysis_triggers",
    ),
    "analysis reads prices": (
        ANALYSIS, lambda k: consume(k, PRICES, ANALYSIS_GROUP),
        "consume sec.stock_prices_raw", "topic sec.stock_prices_raw",
    ),
    "aggregation commits for another group": (
        AGGREGATION, lambda k: consume(k, RESULTS, STORAGE_GROUP),
        "commit sec.analysis_results", "group sec.storage-consumers",
    ),
    "notification writes alerts": (NOTIFICATION, lambda k: produce(k, ALERTS), "", "topic sec.alerts"),
    "notification takes another's transactional id": (
        NOTIFICATION, lambda k: transact(k, AGGREGATION_GROUP, RESULTS, ALERTS),
        "transaction of aggregation-consumers", "transactional id",
    ),
    "reader writes": (READER, lambda k: produce(k, ALERTS), "", "cluster"),
    "stranger writes": (STRANGER, lambda k: produce(k, PRICES), "", ""),
    "stranger looks at a topic": (STRANGER, look_at_prices, "describe topics", "topic sec.stock_prices_raw"),
    "storage creates a topic": (STORAGE, create_topic, f"create sec.made-by-{STORAGE}", "topic"),
    "storage configures a topic": (STORAGE, configure_topic, "configure sec.alerts", "topic"),
    "storage changes rights": (STORAGE, change_acls, "read ACLs (Describe on the cluster)", "cluster"),
    "storage changes users": (STORAGE, change_users, "put users (Alter on the cluster)", "cluster"),
}  # fmt: skip


@pytest.mark.parametrize("attempt", REFUSALS)
def test_what_is_not_allowed_is_one_line_and_has_no_effect(
    secured: SecuredBroker, owner: KafkaAdmin, attempt: str
) -> None:
    user, act, doing, denied = REFUSALS[attempt]
    before = effects(owner)
    with pytest.raises(KafkaDenied) as caught:
        act(secured.user(user))
    said = str(caught.value)
    where = secured.node.bootstrap
    assert said.startswith(doing)
    assert f": {user} is not authorised on Kafka at {where}: {denied}" in said
    assert "\n" not in said
    assert len(said) < 250
    assert effects(owner) == before


def effects(owner: KafkaAdmin) -> object:
    """Return everything that an attempt could have changed."""
    names = [PREFIX + name for name in EVERY_TOPIC]
    return (
        [owner.lag("nobody", names), [owner.lag(PREFIX + group, names) for group in set(CONSUMED.values())]],
        owner.topics([*names, *(f"{PREFIX}made-by-{user}" for user in (STORAGE, STRANGER))]),
    )
