"""Topics, offsets and lag, through Kafka's Admin API."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
    KafkaError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import TopicPartition

from vnpulse.kafka.connection import client_options, translated
from vnpulse.kafka.progress import Committed
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import TopicChange, TopicSpec, TopicState

COORDINATOR_TIMEOUT_S = 10.0
COORDINATOR_PERIOD_S = 0.1


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a group is behind on one partition. ``committed`` is None before the first commit."""

    group: str
    topic: str
    partition: int
    begin: int
    end: int
    committed: int | None

    @classmethod
    def of(cls, group: str, tp: TopicPartition, begin: int, end: int, known: Any) -> PartitionLag:
        """Make one of what the broker answered; it has no offset, or -1, where nothing was committed."""
        committed = known.offset if known is not None and known.offset >= 0 else None
        return cls(group, tp.topic, tp.partition, begin, end, committed)

    @property
    def lag(self) -> int:
        """Records that the broker still has and the group has not committed.

        Nothing where the committed offset is beyond the end: the topic was made again since.
        """
        return max(0, self.end - max(self.committed or 0, self.begin))

    @property
    def expired(self) -> int:
        """Records beyond the committed offset that retention has removed: the group has lost them.

        Before its first commit a group has lost nothing.
        """
        return max(0, self.begin - self.committed) if self.committed is not None else 0


class KafkaAdmin:
    """Administrative calls. Context manager; raises BrokerUnavailable or KafkaRefused."""

    def __init__(self, settings: KafkaSettings, client_id: str = "vnpulse-admin") -> None:
        self._settings = settings
        self._partitions: dict[str, list[TopicPartition]] = {}
        with translated(settings, "administer"):
            self._client = KafkaAdminClient(**client_options(settings, client_id))

    def __enter__(self) -> KafkaAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the broker."""
        self._client.close()

    def broker_count(self) -> int:
        """Return the number of brokers that are up."""
        with translated(self._settings, "describe the cluster"):
            return len(self._client.describe_cluster()["brokers"])

    def topics(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Return the state of those of ``names`` that exist."""
        wanted = set(names)
        with translated(self._settings, "describe topics"):
            answers = self._client.describe_topics(sorted(wanted))
            hidden = [
                t["name"] for t in answers if t.get("error_code") == TopicAuthorizationFailedError.errno
            ]
            if hidden:
                # Not to be taken for topics that do not exist.
                raise TopicAuthorizationFailedError(", ".join(sorted(hidden)))
            described = {
                t["name"]: t["partitions"] for t in answers if not t.get("error_code") and t["partitions"]
            }
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(described)]
            configs: dict[str, dict[str, Any]] = {}
            if resources:
                answer = self._client.describe_configs(resources, config_filter="all")
                configs = answer.get("topic", {})
        return {
            name: TopicState(
                partitions=len(partitions),
                replication=len(partitions[0]["replica_nodes"]),
                configs={key: str(_value(entry)) for key, entry in configs.get(name, {}).items()},
            )
            for name, partitions in described.items()
        }

    def apply(self, changes: list[TopicChange], specs: Mapping[str, TopicSpec], brokers: int) -> None:
        """Carry out the possible ones of ``changes``. Repeating it is harmless."""
        create = {}
        for name in (c.topic for c in changes if c.kind == "create"):
            replication = min(specs[name].replication, brokers)
            create[name] = {
                "num_partitions": specs[name].partitions,
                "replication_factor": replication,
                "configs": specs[name].broker_configs(replication),
            }
        grow = {c.topic: specs[c.topic].partitions for c in changes if c.kind == "partitions" and c.possible}
        differing = {c.topic for c in changes if c.kind == "config"}
        existing = self.topics(differing) if differing else {}
        if create:
            # Somebody may apply the same file at the same time.
            with translated(self._settings, f"create {', '.join(create)}"), suppress(TopicAlreadyExistsError):
                self._client.create_topics(create, wait_for_metadata=True)
        if grow:
            with translated(self._settings, f"add partitions to {', '.join(grow)}"):
                self._client.create_partitions(grow)
        if existing:
            with translated(self._settings, f"configure {', '.join(existing)}"):
                answer = self._client.alter_configs(
                    [
                        ConfigResource(
                            ConfigResourceType.TOPIC,
                            name,
                            configs=specs[name].broker_configs(state.replication),
                        )
                        for name, state in existing.items()
                    ]
                )
                refused = [said for said in answer["topic"].values() if said != "OK"]
                if refused:
                    raise KafkaError(refused[0])

    def _committed(self, group: str, partitions: list[TopicPartition]) -> dict[TopicPartition, Any]:
        give_up_at = time.monotonic() + COORDINATOR_TIMEOUT_S
        while True:
            try:
                found: dict[TopicPartition, Any] = self._client.list_group_offsets({group: partitions})[group]
                return found
            except (GroupIdNotFoundError, KeyError):
                return {}
            except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
                # A broker that nobody has consumed from yet makes its offsets topic at this request.
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(COORDINATOR_PERIOD_S)

    def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics with all their records."""
        with translated(self._settings, "delete topics"):
            self._client.delete_topics(list(names))

    def ends(self, topic: str) -> dict[int, int]:
        """Return by partition the offset that the next record gets, open transactions included."""
        with translated(self._settings, f"look at {topic}"):
            wanted = dict.fromkeys(self._partitions_of(topic), OffsetSpec.LATEST)
            found = self._client.list_partition_offsets(wanted)
        return {tp.partition: known.offset for tp, known in found.items()}

    def committed(self, group: str, topic: str) -> dict[int, Committed]:
        """Return by partition what ``group`` has committed, where it has."""
        with translated(self._settings, f"look at {group}"):
            found = self._committed(group, self._partitions_of(topic))
        return {
            tp.partition: Committed(known.offset, known.metadata or "")
            for tp, known in found.items()
            if known.offset >= 0
        }

    def _partitions_of(self, topic: str) -> list[TopicPartition]:
        """Return the partitions of ``topic``, looked up once."""
        if topic not in self._partitions:
            (described,) = self._client.describe_topics([topic])
            found = [TopicPartition(topic, p["partition_index"]) for p in described["partitions"]]
            if not found:
                raise UnknownTopicOrPartitionError(topic)
            self._partitions[topic] = found
        return self._partitions[topic]

    def lag(self, group: str, topics: Iterable[str]) -> list[PartitionLag]:
        """Return the lag of ``group`` on every partition of ``topics`` (those that exist)."""
        names = sorted(set(topics))
        with translated(self._settings, f"lag of {group}"):
            described = [t for t in self._client.describe_topics(names) if not t.get("error_code")]
            partitions = [
                TopicPartition(t["name"], p["partition_index"]) for t in described for p in t["partitions"]
            ]
            if not partitions:
                return []
            ends = self._client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
            begins = self._client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
            committed = self._committed(group, partitions)
        return [
            PartitionLag.of(group, tp, begins[tp].offset, ends[tp].offset, committed.get(tp))
            for tp in sorted(partitions)
        ]


def _value(entry: Any) -> Any:
    return entry.get("value") if isinstance(entry, dict) else entry
