from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.errors import SettingsError
from vnpulse.topics import (
    ALERTS,
    CONSUMED,
    NEWS,
    PRICES,
    RESULTS,
    TRIGGERS,
    TopicChange,
    TopicSpec,
    TopicState,
    load_topics,
    plan,
)


def spec(partitions: int = 3, replication: int = 1, retention_hours: int = 24) -> TopicSpec:
    return TopicSpec(
        partitions=partitions,
        replication=replication,
        retention_hours=retention_hours,
        compression="snappy",
    )


def state(of: TopicSpec, **changes: str) -> TopicState:
    return TopicState(of.partitions, of.replication, of.broker_configs(of.replication) | changes)


def applied(
    wanted: dict[str, TopicSpec], actual: dict[str, TopicState], changes: list[TopicChange], brokers: int
) -> dict[str, TopicState]:
    """Do what ``changes`` say, as Kafka would."""
    result = dict(actual)
    for change in changes:
        if not change.possible:
            continue
        of = wanted[change.topic]
        if change.kind == "create":
            replication = min(of.replication, brokers)
            result[change.topic] = TopicState(of.partitions, replication, of.broker_configs(replication))
            continue
        was = result[change.topic]
        if change.kind == "partitions":
            result[change.topic] = TopicState(of.partitions, was.replication, was.configs)
        elif change.kind == "config":
            key = change.detail.split(":")[0]
            configs = was.configs | {key: of.broker_configs(was.replication)[key]}
            result[change.topic] = TopicState(was.partitions, was.replication, configs)
    return result


@pytest.mark.parametrize(
    ("topic", "partitions", "retention_hours", "compression"),
    [
        (PRICES, 10, 168, "snappy"),
        (NEWS, 5, 720, "gzip"),
        (TRIGGERS, 3, 24, "snappy"),
        (RESULTS, 5, 168, "snappy"),
        (ALERTS, 3, 720, "snappy"),
    ],
)
def test_the_shipped_topics_are_those_of_the_design(
    topic: str, partitions: int, retention_hours: int, compression: str
) -> None:
    shipped = load_topics()[topic]
    assert (shipped.partitions, shipped.retention_hours, shipped.compression) == (
        partitions, retention_hours, compression,
    )  # fmt: skip
    assert (shipped.replication, shipped.cleanup) == (3, "delete")
    assert shipped.broker_configs(3)["retention.ms"] == str(retention_hours * 3_600_000)


@pytest.mark.parametrize("topic", list(CONSUMED))
def test_every_consumed_topic_has_a_dead_letter_topic_of_the_design_that_takes_larger_records(
    topic: str,
) -> None:
    topics = load_topics()
    dead = topics[f"{topic}_dlq"]
    assert (dead.partitions, dead.retention_hours) == (3, 168)
    assert dead.max_message_bytes > topics[topic].max_message_bytes


def test_missing_topics_are_created_in_the_order_of_the_file() -> None:
    changes, remarks = plan({"b": spec(2, 3), "a": spec(4, 1)}, {}, brokers=3)
    assert [(c.topic, c.kind, c.detail, c.possible) for c in changes] == [
        ("b", "create", "2 partitions, replication 3", True),
        ("a", "create", "4 partitions, replication 1", True),
    ]
    assert remarks == []


def test_a_topic_as_it_should_be_needs_nothing() -> None:
    assert plan({"a": spec()}, {"a": state(spec())}, brokers=1) == ([], [])


def test_partitions_grow_and_never_shrink() -> None:
    wanted = {"few": spec(6), "many": spec(3)}
    changes, _ = plan(wanted, {"few": state(spec(3)), "many": state(spec(6))}, brokers=1)
    assert [(c.topic, c.kind, c.possible) for c in changes] == [
        ("few", "partitions", True),
        ("many", "partitions", False),
    ]
    assert changes[0].detail == "3 -> 6"
    assert "cannot" in changes[1].detail


def test_settings_that_drifted_or_are_absent_are_set() -> None:
    of = spec(retention_hours=168)
    drifted = state(of, **{"retention.ms": "1", "cleanup.policy": "compact"})
    drifted.configs.pop("message.timestamp.type")
    changes, _ = plan({"a": of}, {"a": drifted}, brokers=1)
    assert {c.detail for c in changes} == {
        "retention.ms: 1 -> 604800000",
        "cleanup.policy: compact -> delete",
        "message.timestamp.type: None -> LogAppendTime",
    }
    assert all(c.kind == "config" and c.possible for c in changes)


def test_settings_of_others_are_left_alone() -> None:
    assert plan({"a": spec()}, {"a": state(spec(), **{"segment.bytes": "1"})}, brokers=1) == ([], [])


def test_topics_of_others_are_left_alone() -> None:
    assert plan({}, {"theirs": state(spec())}, brokers=1) == ([], [])


def test_replication_is_capped_to_the_brokers_and_this_is_said() -> None:
    changes, remarks = plan({"a": spec(1, 3), "b": spec(1, 2), "c": spec(1, 1)}, {}, brokers=1)
    assert [c.detail for c in changes] == ["1 partitions, replication 1"] * 3
    [remark] = remarks
    assert "capped to 1 for 2 topics (configured 3)" in remark
    assert "1 broker" in remark
    assert "1 brokers" not in remark


def test_the_replication_of_a_topic_that_exists_is_reported_not_changed() -> None:
    changes, _ = plan({"a": spec(3, 3)}, {"a": TopicState(3, 1, spec().broker_configs(1))}, brokers=3)
    [change] = changes
    assert (change.kind, change.possible) == ("replication", False)
    assert "1 -> 3" in change.detail


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_a_write_needs_all_replicas_but_one(replicas: int, in_sync: str) -> None:
    """Those that a topic has, not those that it should have: else nobody could write to it."""
    actual = TopicState(3, replicas, spec().broker_configs(1) | {"min.insync.replicas": "9"})
    changes, _ = plan({"a": spec(3, 3)}, {"a": actual}, brokers=3)
    assert f"min.insync.replicas: 9 -> {in_sync}" in [change.detail for change in changes]


def test_a_capped_topic_that_exists_is_not_reported_again_and_again() -> None:
    changes, remarks = plan({"a": spec(3, 3)}, {"a": state(spec(3, 1))}, brokers=1)
    assert changes == []
    assert len(remarks) == 1


_specs = st.builds(spec, st.integers(1, 12), st.integers(1, 5), st.integers(1, 800))


@given(
    st.dictionaries(st.sampled_from("abcd"), _specs, max_size=4),
    st.dictionaries(st.sampled_from("abcd"), _specs, max_size=4),
    st.integers(1, 4),
)
def test_applying_the_plan_leaves_nothing_to_do_but_what_cannot_be_done(
    wanted: dict[str, TopicSpec], before: dict[str, TopicSpec], brokers: int
) -> None:
    actual = {name: state(of) for name, of in before.items()}
    changes, remarks = plan(wanted, actual, brokers)
    after = applied(wanted, actual, changes, brokers)
    again, remarks_again = plan(wanted, after, brokers)
    assert again == [change for change in changes if not change.possible]
    assert remarks_again == remarks
    for name, of in after.items():
        assert of.partitions >= (actual[name].partitions if name in actual else 0)


def test_the_shipped_topics_applied_to_an_empty_cluster_leave_no_plan() -> None:
    wanted = load_topics()
    changes, _ = plan(wanted, {}, brokers=1)
    assert plan(wanted, applied(wanted, {}, changes, 1), brokers=1)[0] == []


@pytest.mark.parametrize(
    "text",
    [
        "topics: {a: {partitions: 0, replication: 1, retention_hours: 1, compression: none}}",
        "topics: {a: {partitions: 1, replication: 1, retention_hours: 1, compression: brotli}}",
        "topics: {a: {partitions: 1, replication: 1, retention: 1, compression: none}}",
        "topic: {}",
    ],
)
def test_mistakes_in_the_file_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        load_topics(path)
