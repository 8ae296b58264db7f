"""What is done to the brokers of a cluster, and what it says of itself."""

from __future__ import annotations

from typing import Any

import psutil
from kafka import KafkaAdminClient
from kafka.errors import KafkaConnectionError

from tests.integration.waiting import eventually
from vnpulse.embedded.kafka_cluster import KafkaCluster


def kill(cluster: KafkaCluster, node_id: int) -> None:
    """SIGKILL to the broker itself: it can tell nobody that it goes."""
    process = cluster.nodes[node_id].process
    assert process is not None
    for child in psutil.Process(process.pid).children():
        child.kill()
    assert process.wait(10) is not None


def revive(cluster: KafkaCluster, *node_ids: int) -> None:
    for node_id in node_ids:
        cluster.nodes[node_id].stop()
        cluster.nodes[node_id].start(wait=False)
    for node_id in node_ids:
        cluster.nodes[node_id].wait_until_ready()
    cluster.wait_until_whole()


def leaders(operator: KafkaAdminClient, topic: str) -> dict[int, int]:
    return {p["partition_index"]: p["leader_id"] for p in _partitions(operator, topic)}


def in_sync(operator: KafkaAdminClient, topic: str) -> bool:
    return all(len(p["isr_nodes"]) == 3 for p in _partitions(operator, topic))


def _partitions(operator: KafkaAdminClient, topic: str) -> list[dict[str, Any]]:
    """Ask until somebody answers: the client may just be talking to the broker that was killed."""

    def answer() -> list[dict[str, Any]]:
        try:
            (described,) = operator.describe_topics([topic])
        except KafkaConnectionError:
            return []
        partitions: list[dict[str, Any]] = described["partitions"]
        return partitions

    found = eventually(answer)
    assert found
    return found
