"""Every metric that vnpulse exports: what it is called in the code and on a Prometheus endpoint.

The pipelines' own are recorded through vnpulse.metrics inside Ray actors and appear on the Ray
cluster's endpoints, where Ray puts ``ray_`` before each name. Those of the cluster are read by
``vnpulse metrics`` and appear on its port as they are. Counters only grow: rates are for whoever
reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a round trip on loopback to a broker that is about to be given up."""

RAY_PREFIX = "ray_"

Kind = Literal["counter", "histogram", "gauge"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with its labels. ``series`` is its name on the endpoint where it appears."""

    name: str
    kind: Kind
    exported: str
    labels: tuple[str, ...]
    about: str
    of_cluster: bool = False

    @property
    def series(self) -> str:
        """Return the name on the Prometheus endpoint, for a histogram without _bucket, _sum, _count."""
        return self.exported if self.of_cluster else RAY_PREFIX + self.exported


_TOPIC = ("topic",)
_READING = ("topic", "group")

PIPELINE_FAMILIES = (
    Family(
        "kafka.producer.success",
        "counter",
        "vnpulse_kafka_producer_records_total",
        _TOPIC,
        "Records that the broker acknowledged.",
    ),
    Family(
        "kafka.producer.error",
        "counter",
        "vnpulse_kafka_producer_errors_total",
        _TOPIC,
        "Records that the broker refused or did not acknowledge; they are sent again.",
    ),
    Family(
        "kafka.producer.latency",
        "histogram",
        "vnpulse_kafka_producer_latency_seconds",
        _TOPIC,
        "From the first send of a flush until all of its records were acknowledged.",
    ),
    Family(
        "kafka.producer.request_latency",
        "histogram",
        "vnpulse_kafka_producer_request_latency_seconds",
        (),
        "From a request of a producer to the broker's answer.",
    ),
    Family(
        "kafka.consumer.records",
        "counter",
        "vnpulse_kafka_consumer_records_total",
        _READING,
        "Records that were read.",
    ),
    Family(
        "kafka.consumer.bytes",
        "counter",
        "vnpulse_kafka_consumer_bytes_total",
        _READING,
        "Bytes of keys and values that were read, after decompression.",
    ),
    Family(
        "kafka.consumer.fetch_latency",
        "histogram",
        "vnpulse_kafka_consumer_fetch_latency_seconds",
        _READING,
        "From a fetch request to its answer; the broker may hold it for fetch_max_wait_ms.",
    ),
    Family(
        "kafka.consumer.assignments",
        "counter",
        "vnpulse_kafka_consumer_assignments_total",
        _READING,
        "How often a consumer took up its partitions: at its start, after its replacement, after an outage.",
    ),
    Family(
        "kafka.consumer.pauses",
        "counter",
        "vnpulse_kafka_consumer_pauses_total",
        _READING,
        "How often reading was paused because what was read is not worked off: back-pressure.",
    ),
    Family(
        "kafka.consumer.lost",
        "counter",
        "vnpulse_kafka_consumer_lost_records_total",
        (*_READING, "partition"),
        "Records that retention removed before the group had read them.",
    ),
    Family(
        "kafka.transaction.commit",
        "counter",
        "vnpulse_kafka_transactions_committed_total",
        _TOPIC,
        "Transactions committed, by the topic that caused them.",
    ),
    Family(
        "kafka.transaction.abort",
        "counter",
        "vnpulse_kafka_transactions_aborted_total",
        _TOPIC,
        "Transactions aborted, by the topic that caused them; their records are handled again.",
    ),
    Family(
        "kafka.dead_letters",
        "counter",
        "vnpulse_kafka_dead_letters_total",
        ("topic", "reason"),
        "Records given up, by the topic that they came from and why.",
    ),
    Family(
        "aggregation.incomplete",
        "counter",
        "vnpulse_aggregation_incomplete_results_total",
        ("analysis",),
        "Results decided without the other analysis, because it was too far behind.",
    ),
    Family(
        "aggregation.late",
        "counter",
        "vnpulse_aggregation_late_results_total",
        ("analysis",),
        "Results decided after others that belong behind them.",
    ),
)

_OF_CLUSTER: tuple[tuple[str, Kind, str, tuple[str, ...], str], ...] = (
    ("kafka.up", "gauge", "vnpulse_kafka_up", (), "1 if the last reading of the broker succeeded."),
    ("kafka.brokers", "gauge", "vnpulse_kafka_brokers", (), "Brokers that are up."),
    (
        "kafka.group.lag",
        "gauge",
        "vnpulse_kafka_group_lag",
        ("group", "topic", "partition"),
        "Records that the broker still has and the group has not committed.",
    ),
    (
        "kafka.group.committed",
        "gauge",
        "vnpulse_kafka_group_committed_offset",
        ("group", "topic", "partition"),
        "The group's committed offset; absent before its first commit.",
    ),
    (
        "kafka.group.expired",
        "gauge",
        "vnpulse_kafka_group_expired_records",
        ("group", "topic", "partition"),
        "Records beyond the group's committed offset that retention has removed: they are lost to it.",
    ),
    (
        "kafka.topic.messages_in",
        "counter",
        "vnpulse_kafka_topic_messages_in_total",
        ("topic", "partition"),
        "The partition's end offset: records ever appended, transaction markers included.",
    ),
    (
        "kafka.topic.bytes_in",
        "counter",
        "vnpulse_kafka_topic_bytes_in_total",
        _TOPIC,
        "Growth of the topic's log on its leaders since this process started, as stored.",
    ),
    (
        "kafka.topic.size",
        "gauge",
        "vnpulse_kafka_topic_size_bytes",
        _TOPIC,
        "Size of the topic's log on its leaders.",
    ),
    (
        "kafka.topic.records",
        "gauge",
        "vnpulse_kafka_topic_records",
        _TOPIC,
        "Offsets from begin to end: what the topic holds; of a dead-letter topic, what waits there.",
    ),
    (
        "kafka.topic.under_replicated",
        "gauge",
        "vnpulse_kafka_topic_under_replicated_partitions",
        _TOPIC,
        "Partitions of which some replica is not in sync.",
    ),
    (
        "kafka.topic.offline",
        "gauge",
        "vnpulse_kafka_topic_offline_partitions",
        _TOPIC,
        "Partitions without a leader: they can neither be read nor written.",
    ),
    ("store.up", "gauge", "vnpulse_store_up", (), "1 if the store answered the last reading."),
    (
        "actor.running",
        "gauge",
        "vnpulse_actor_running",
        ("actor",),
        "1 if the supervisor has just seen the actor running, 0 if it is anything else.",
    ),
    (
        "actor.restarts",
        "counter",
        "vnpulse_actor_restarts_total",
        ("actor",),
        "How often the supervisor replaced the actor.",
    ),
)

CLUSTER_FAMILIES = tuple(
    Family(name, kind, exported, labels, about, of_cluster=True)
    for name, kind, exported, labels, about in _OF_CLUSTER
)

FAMILIES = {family.name: family for family in (*PIPELINE_FAMILIES, *CLUSTER_FAMILIES)}
