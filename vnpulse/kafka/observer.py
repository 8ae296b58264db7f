"""One reading of everything about topics and groups that the Admin API can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka.admin import OffsetSpec
from kafka.structs import TopicPartition

from vnpulse.kafka.admin import KafkaAdmin, PartitionLag
from vnpulse.kafka.connection import KafkaRefused, translated


@dataclass(frozen=True, slots=True)
class TopicReading:
    """One topic. ``begins``, ``ends``: offsets by partition; ``sizes``: bytes by partition on its leader.

    Partitions without a leader are in none of the three. ``sizes`` is empty where we may not ask.
    """

    topic: str
    begins: dict[int, int]
    ends: dict[int, int]
    sizes: dict[int, int]
    under_replicated: int
    offline: int


@dataclass(frozen=True, slots=True)
class ClusterReading:
    """The cluster at about one moment."""

    brokers: int
    topics: list[TopicReading]
    lags: list[PartitionLag]


class KafkaObserver(KafkaAdmin):
    """Reads topics and groups in a handful of requests, however many partitions there are."""

    def observe(self, topics: Iterable[str], groups: Mapping[str, Iterable[str]]) -> ClusterReading:
        """Read those of ``topics`` that exist, and each group's lag on its topics.

        ``groups`` names, by group, topics among ``topics``. Raises BrokerUnavailable, KafkaRefused.
        """
        with translated(self._settings, "observe"):
            brokers = len(self._client.describe_cluster()["brokers"])
            described = {
                t["name"]: t["partitions"]
                for t in self._client.describe_topics(sorted(set(topics)))
                if not t.get("error_code")
            }
            led = [
                TopicPartition(name, p["partition_index"])
                for name, partitions in described.items()
                for p in partitions
                if p["leader_id"] >= 0
            ]
            ends = self._client.list_partition_offsets(dict.fromkeys(led, OffsetSpec.LATEST)) if led else {}
            begins = (
                self._client.list_partition_offsets(dict.fromkeys(led, OffsetSpec.EARLIEST)) if led else {}
            )
            lags = []
            for group, names in groups.items():
                wanted = set(names)
                partitions = sorted(tp for tp in led if tp.topic in wanted)
                committed = self._committed(group, partitions) if partitions else {}
                lags += [
                    PartitionLag.of(group, tp, begins[tp].offset, ends[tp].offset, committed.get(tp))
                    for tp in partitions
                ]
        sizes = self._sizes(described)
        return ClusterReading(
            brokers,
            [
                TopicReading(
                    topic=name,
                    begins={tp.partition: begins[tp].offset for tp in led if tp.topic == name},
                    ends={tp.partition: ends[tp].offset for tp in led if tp.topic == name},
                    sizes=sizes.get(name, {}),
                    under_replicated=sum(len(p["isr_nodes"]) < len(p["replica_nodes"]) for p in partitions),
                    offline=sum(p["leader_id"] < 0 for p in partitions),
                )
                for name, partitions in described.items()
            ],
            lags,
        )

    def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, Any]:
        found: dict[TopicPartition, Any] = {}
        if partitions:
            found = self._client.list_partition_offsets(dict.fromkeys(partitions, spec))
        return found

    def _sizes(self, described: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[int, int]]:
        """Return bytes by topic and partition, each as its leader has it."""
        leaders = {(name, p["partition_index"]): p["leader_id"] for name, ps in described.items() for p in ps}
        try:
            with translated(self._settings, "describe log folders"):
                answers = self._client.describe_log_dirs(sorted(described)) if described else []
        except KafkaRefused:
            return {}  # it takes Describe on the cluster, which not everybody gives to a monitor
        sizes: dict[str, dict[int, int]] = {}
        for answer in answers:
            for folder in answer["log_dirs"]:
                for topic in folder["topics"]:
                    for p in topic["partitions"]:
                        place = (topic["name"], p["partition_index"])
                        if leaders.get(place) == answer["broker"] and not p["is_future_key"]:
                            sizes.setdefault(place[0], {})[place[1]] = p["partition_size"]
        return sizes
