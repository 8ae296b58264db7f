"""Rights as a file gives them, and what a cluster lacks of them and has beyond."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnpulse.acls import Acl, compare, load_acls, wanted_acls
from vnpulse.errors import SettingsError
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import CONSUMED, HEALTH_TOPIC, dead_letter_topic, load_topics

KAFKA = KafkaSettings(topic_prefix="p.")
TOPICS = load_topics()


def load(tmp_path: Path, rights: str) -> set[Acl]:
    file = tmp_path / "acls.yaml"
    file.write_text(f"components:\n  one:\n    principals: [User:a, User:b]\n    {rights}\n")
    return wanted_acls(load_acls(TOPICS, file), TOPICS, KAFKA)


def test_each_principal_gets_each_right_under_the_names_of_the_cluster(tmp_path: Path) -> None:
    found = load(tmp_path, "topics: {Write: [alerts], Read: [alerts_dlq]}")
    assert found == {
        Acl(user, *right)
        for user in ("User:a", "User:b")
        for right in (("Write", "topic", "p.alerts"), ("Read", "topic", "p.alerts_dlq"))
    }


def test_every_means_all_topics_or_groups_by_name_and_never_a_wildcard(tmp_path: Path) -> None:
    topics = load(tmp_path, "topics: {Describe: every}")
    assert {acl.name for acl in topics} == {f"p.{name}" for name in (*TOPICS, HEALTH_TOPIC)}
    groups = load(tmp_path, "groups: {Describe: every}")
    assert {acl.name for acl in groups} == {f"p.{group}" for group in CONSUMED.values()}


def test_a_transactional_id_is_given_by_its_beginning(tmp_path: Path) -> None:
    (one, _) = sorted(load(tmp_path, "transactional_ids: {Write: [storage-consumers.]}"))
    assert (one.resource_type, one.name, one.pattern) == (
        "transactional id",
        "p.storage-consumers.",
        "prefixed",
    )
    assert str(one) == "User:a may Write transactional id names beginning with p.storage-consumers."


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ("topics: {Read: [alrets]}", "components.one.topics.Read: was alrets, allowed: every, alerts"),
        ("groups: {Read: [storage]}", "components.one.groups.Read: was storage, allowed: every, aggregation"),
        ("topics: {Raed: [alerts]}", "acls.yaml:4: components.one.topics.Raed"),
        ("topics: {Read: alerts}", "acls.yaml:4: components.one.topics.Read"),
        ("cluster: [All]", "acls.yaml:4: components.one.cluster.0: was \"All\""),
        ("topic: {}", "did you mean topics?"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(tmp_path: Path, rights: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, rights)
    assert said in str(caught.value)


A = Acl("User:a", "Read", "topic", "p.alerts")


def test_what_is_wanted_and_not_there_is_missing_and_nothing_else() -> None:
    assert compare({A}, set(), KAFKA) == ([A], [])
    assert compare({A}, {A}, KAFKA) == ([], [])


@pytest.mark.parametrize(
    ("actual", "is_surplus"),
    [
        (Acl("User:a", "Write", "topic", "p.alerts"), True),
        (Acl("User:stranger", "Read", "topic", "p.alerts"), True),
        (Acl("User:stranger", "Read", "topic", "p.alerts", permission="Deny"), True),
        (Acl("User:a", "Read", "topic", "*"), True),
        (Acl("User:a", "Read", "topic", "p.", "prefixed"), True),
        (Acl("User:a", "Alter", "cluster", "kafka-cluster"), True),
        (Acl("User:stranger", "Alter", "cluster", "kafka-cluster"), False),
        (Acl("User:stranger", "Read", "topic", "theirs"), False),
        (Acl("User:a", "Read", "topic", "other-deployment.alerts"), False),
    ],
)
def test_surplus_is_what_our_principals_or_our_topics_have_beyond(actual: Acl, is_surplus: bool) -> None:
    assert compare({A}, {A, actual}, KAFKA) == ([], [actual] if is_surplus else [])


def test_the_shipped_rights_let_one_pipeline_alone_read_each_topic_and_commit_for_its_group() -> None:
    acls = wanted_acls(load_acls(TOPICS), TOPICS, KafkaSettings())
    for topic, group in CONSUMED.items():
        user = f"User:vnpulse-{group.removesuffix('-consumers')}"
        pipelines = {user, "User:vnpulse-pipelines"}
        readers = {a.principal for a in acls if (a.operation, a.name) == ("Read", topic)}
        assert readers - {"User:vnpulse-reader"} == pipelines
        assert {a.principal for a in acls if (a.operation, a.name) == ("Read", group)} == pipelines
        writers = {a.principal for a in acls if (a.operation, a.name) == ("Write", dead_letter_topic(topic))}
        assert writers == pipelines | {"User:vnpulse-redrive"}


def test_only_collector_and_redrive_write_prices_and_only_the_operator_has_the_cluster() -> None:
    acls = wanted_acls(load_acls(TOPICS), TOPICS, KafkaSettings())
    writers = {a.principal for a in acls if (a.operation, a.name) == ("Write", "stock_prices_raw")}
    assert writers == {"User:vnpulse-collector", "User:vnpulse-redrive"}
    assert {a.principal for a in acls if a.resource_type == "cluster"} == {"User:vnpulse-operator"}
    assert not [a for a in acls if a.name == "*" or a.operation == "All"]
    assert {a.principal for a in acls if a.operation == "Delete"} == {"User:vnpulse-redrive"}
