"""Topics as configured, lag and group offsets, on a real broker."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition

from tests.integration.kafka.conftest import OpenConsumer
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.kafka.admin import KafkaAdmin, PartitionLag
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.lags import LagReader, total_by_topic
from vnpulse.launcher import apply_topics, prefixed_topics
from vnpulse.topics import ALERTS, PRICES, TopicChange, TopicSpec, load_topics, plan

SPEC = TopicSpec(partitions=2, replication=1, retention_hours=1, compression="none")


def differences(admin: KafkaAdmin, wanted: dict[str, TopicSpec]) -> list[TopicChange]:
    return plan(wanted, admin.topics(wanted), admin.broker_count())[0]


def test_applying_makes_the_topics_of_the_file_and_applying_again_changes_nothing(
    trial: Trial, admin: KafkaAdmin
) -> None:
    wanted = prefixed_topics(trial.settings)
    assert admin.topics(wanted) == {}
    changes, _ = apply_topics(trial.settings)
    assert {(c.topic, c.kind) for c in changes} == {(name, "create") for name in wanted}
    assert differences(admin, wanted) == []
    assert apply_topics(trial.settings)[0] == []
    states = admin.topics(wanted)
    assert {n: s.partitions for n, s in states.items()} == {n: s.partitions for n, s in wanted.items()}
    prices = states[trial.topic(PRICES)].configs
    assert prices["retention.ms"] == str(7 * 24 * 3_600_000)
    assert prices["cleanup.policy"] == "delete"
    assert prices["message.timestamp.type"] == "LogAppendTime"


def test_replication_is_capped_to_the_brokers_and_that_is_said(trial: Trial, admin: KafkaAdmin) -> None:
    _, remarks = apply_topics(trial.settings)
    assert len(remarks) == 1
    assert "capped to 1 for 10 topics (configured 3)" in remarks[0]
    assert {state.replication for state in admin.topics(prefixed_topics(trial.settings)).values()} == {1}


def test_a_changed_setting_is_put_right(trial: Trial, admin: KafkaAdmin) -> None:
    topic = trial.make_topic("changed", 2)
    wanted = {topic: SPEC.model_copy(update={"retention_hours": 5, "cleanup": "compact"})}
    changes = differences(admin, wanted)
    assert {c.kind for c in changes} == {"config"}
    admin.apply(changes, wanted, 1)
    assert differences(admin, wanted) == []
    assert admin.topics([topic])[topic].configs["retention.ms"] == str(5 * 3_600_000)


def test_partitions_grow_and_never_shrink(trial: Trial, admin: KafkaAdmin) -> None:
    topic = trial.make_topic("growing", 2)
    grown = {topic: SPEC.model_copy(update={"partitions": 5})}
    admin.apply(differences(admin, grown), grown, 1)
    assert admin.topics([topic])[topic].partitions == 5
    (change,) = differences(admin, {topic: SPEC})
    assert not change.possible
    admin.apply([change], {topic: SPEC}, 1)
    assert admin.topics([topic])[topic].partitions == 5


def test_settings_that_an_operator_added_are_left_alone(
    trial: Trial, admin: KafkaAdmin, plain_admin: KafkaAdminClient
) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType

    topic = trial.make_topic("tuned", 2)
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"segment.ms": "60000000"})
    plain_admin.alter_configs([resource])
    wanted = {topic: SPEC.model_copy(update={"retention_hours": 2})}
    admin.apply(differences(admin, wanted), wanted, 1)
    configs = admin.topics([topic])[topic].configs
    assert configs["segment.ms"] == "60000000"
    assert configs["retention.ms"] == "7200000"


def test_creating_what_somebody_else_just_created_is_harmless(trial: Trial, admin: KafkaAdmin) -> None:
    topic = trial.make_topic("raced", 2)
    admin.apply([TopicChange(topic, "create", "")], {topic: SPEC}, 1)
    assert admin.topics([topic])[topic].partitions == 2


def test_a_race_over_one_topic_does_not_keep_others_from_being_created(
    trial: Trial, admin: KafkaAdmin
) -> None:
    there, missing = trial.make_topic("there", 2), trial.topic("missing")
    changes = [TopicChange(there, "create", ""), TopicChange(missing, "create", "")]
    admin.apply(changes, {there: SPEC, missing: SPEC}, 1)
    assert eventually(lambda: admin.topics([there, missing]).keys() == {there, missing})


def test_deleted_topics_are_gone(trial: Trial, admin: KafkaAdmin) -> None:
    topic = trial.make_topic("doomed")
    admin.delete_topics([topic])
    assert eventually(lambda: not admin.topics([topic])), "the broker hears of it from the controller"


def test_lag_before_a_first_commit_is_all_that_there_is(trial: Trial, admin: KafkaAdmin) -> None:
    topic = trial.make_topic("fresh", 2)
    trial.publish("fresh", [("AAA", b"x")] * 3)
    rows = admin.lag(trial.settings.kafka.group("readers"), [topic])
    assert [(r.partition, r.begin, r.committed) for r in rows] == [(0, 0, None), (1, 0, None)]
    assert sum(r.lag for r in rows) == 3


def test_lag_of_an_empty_topic_is_nothing_and_of_a_missing_one_no_row(
    trial: Trial, admin: KafkaAdmin
) -> None:
    topic = trial.make_topic("empty")
    assert admin.lag("nobody", [topic, trial.topic("missing")]) == [
        PartitionLag("nobody", topic, 0, 0, 0, None)
    ]
    assert admin.lag("nobody", [topic])[0].lag == 0
    assert admin.lag("nobody", [trial.topic("missing")]) == []


def test_lag_follows_the_commits(trial: Trial, admin: KafkaAdmin, consume: OpenConsumer) -> None:
    topic = trial.make_topic("read")
    trial.publish("read", [("AAA", b"x")] * 5)
    consume(topic, group="readers").commit({0: 3})
    (row,) = admin.lag("readers", [topic])
    assert (row.committed, row.end, row.lag) == (3, 5, 2)


def test_lag_does_not_count_what_retention_removed(
    trial: Trial, admin: KafkaAdmin, plain_admin: KafkaAdminClient, consume: OpenConsumer
) -> None:
    topic = trial.make_topic("shortened")
    trial.publish("shortened", [("AAA", b"x")] * 10)
    consume(topic, group="readers").commit({0: 2})
    plain_admin.delete_records({TopicPartition(topic, 0): 6})
    (row,) = admin.lag("readers", [topic])
    assert (row.begin, row.committed, row.lag, row.expired) == (6, 2, 4, 4)
    (never,) = admin.lag("nobody", [topic])
    assert (never.lag, never.expired) == (4, 0)


def test_lag_of_a_topic_that_was_made_again_is_nothing(
    trial: Trial, admin: KafkaAdmin, consume: OpenConsumer
) -> None:
    """The group is ahead of the new log: it has read nothing of it, and there is nothing to read."""
    topic = trial.make_topic("again")
    consume(topic, group="readers").commit({0: 5})
    assert admin.lag("readers", [topic])[0].lag == 0


def test_group_offsets_show_in_kafkas_own_tools(
    trial: Trial, plain_admin: KafkaAdminClient, consume: OpenConsumer
) -> None:
    topic, group = trial.make_topic("shown", 2), f"{trial.name}.readers"
    consume(topic, [0, 1], group).commit({0: 4, 1: 9})
    offsets = plain_admin.list_group_offsets([group])[group]
    assert {(tp.topic, tp.partition): o.offset for tp, o in offsets.items()} == {(topic, 0): 4, (topic, 1): 9}
    assert group in str(plain_admin.list_groups())


def test_the_lag_reader_sums_by_topic_and_counts_dead_letters(deployment: Trial) -> None:
    deployment.publish(PRICES, [(symbol, b"x") for symbol in ("VCB", "FPT", "HPG", "SSI")])
    deployment.publish("alerts_dlq", [("VCB", b"x")] * 2)
    with LagReader(deployment.settings.kafka) as reader:
        totals = total_by_topic(reader.read())
        dead = reader.dead_letters()
    assert totals.keys() == {deployment.topic(n) for n in load_topics() if not n.endswith("_dlq")}
    assert totals[deployment.topic(PRICES)] == 4
    assert totals[deployment.topic(ALERTS)] == 0
    assert {name: count for name, count in dead.items() if count} == {"alerts_dlq": 2}


def test_other_tools_see_the_offsets_of_a_group_whose_partitions_are_assigned(trial: Trial) -> None:
    """librdkafka asks as kafka-consumer-groups does; it knows nothing of how we commit."""
    topic = trial.make_topic("seen", partitions=2)
    trial.publish("seen", [(str(i), b"x") for i in range(9)])
    consumer = AssignedConsumer(trial.settings.kafka, topic, [0, 1], trial.settings.kafka.group("g"), "test")
    ends = consumer.end_offsets()
    consumer.commit(ends)
    consumer.close()
    client = AdminClient({"bootstrap.servers": trial.stack.kafka_bootstrap})
    group = trial.settings.kafka.group("g")
    asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    found = {p.partition: p.offset for p in asked[group].result(30).topic_partitions}
    assert found == ends
    listed = client.list_consumer_groups().result(30).valid
    assert group in {one.group_id for one in listed}
