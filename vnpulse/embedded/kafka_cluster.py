"""Several Kafka nodes on one machine as one cluster: for what a single broker cannot show.

Replication, a leader that moves, acknowledgements by more than one broker. Each node is a `KafkaNode`,
broker and controller in one, with a folder of its own below the cluster's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vnpulse.embedded.atomic_file import write_atomically
from vnpulse.embedded.errors import ComponentFailed
from vnpulse.embedded.kafka import KafkaNode, KafkaNodeConfig, Voter, new_cluster_id
from vnpulse.embedded.ports import PortBook

DEFAULT_NODES = 3
DEFAULT_HEAP_MB = 256

READY_TIMEOUT_S = 90.0
READY_PERIOD_S = 0.1
STOP_DEADLINE_S = 3.0
"""Nodes that stop together cannot hand over their partitions: the last ones lack the quorum for it."""


@dataclass(frozen=True, kw_only=True)
class KafkaClusterConfig:
    """How many nodes, and how large each is. Internal and new topics are replicated to three of them."""

    folder: Path
    nodes: int = DEFAULT_NODES
    heap_mb: int = DEFAULT_HEAP_MB
    extra_properties: tuple[tuple[str, str], ...] = ()


class KafkaCluster:
    """Nodes numbered from 1. A context manager.

    Hard state: the folder, with the cluster's id, its ports and each node's data. A node may be killed
    or stopped and started again through ``nodes`` while the others run.
    """

    def __init__(self, config: KafkaClusterConfig, *, hold_fds: Sequence[int] = ()) -> None:
        ports = PortBook(config.folder / "ports.json")
        ids = range(1, config.nodes + 1)
        voters = tuple(
            Voter(node_id=node_id, port=ports.port_for(f"kafka-{node_id}-controller")) for node_id in ids
        )
        cluster_id = _cluster_id(config.folder / "cluster.id")
        self.nodes = {
            voter.node_id: KafkaNode(
                KafkaNodeConfig(
                    folder=config.folder / f"node-{voter.node_id}",
                    node_id=voter.node_id,
                    controller_port=voter.port,
                    voters=voters,
                    cluster_id=cluster_id,
                    replication=min(3, config.nodes),
                    heap_mb=config.heap_mb,
                    extra_properties=config.extra_properties,
                ),
                ports,
                hold_fds=hold_fds,
            )
            for voter in voters
        }

    @property
    def bootstrap(self) -> tuple[str, ...]:
        """``host:port`` of every node; valid after `start`."""
        return tuple(node.bootstrap for node in self.nodes.values())

    def start(self) -> None:
        """Returns when every node knows all others. Raises EmbeddedStackError; then nothing runs."""
        try:
            for node in self.nodes.values():
                node.start(wait=False)
            for node in self.nodes.values():
                node.wait_until_ready()
            self.wait_until_whole()
        except BaseException:
            self.stop()
            raise

    def wait_until_whole(self) -> None:
        """Returns when every node names every other as alive. Raises ComponentFailed after a deadline."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while min(node.brokers_known() for node in self.nodes.values()) < len(self.nodes):
            if time.monotonic() > give_up_at:
                raise ComponentFailed("kafka", f"nodes did not find each other in {READY_TIMEOUT_S:.0f} s")
            time.sleep(READY_PERIOD_S)

    def stop(self) -> None:
        """Stops all nodes at once; what does not end in time is killed. Idempotent."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.stop(STOP_DEADLINE_S), self.nodes.values()))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _cluster_id(path: Path) -> str:
    if not path.exists():
        write_atomically(path, new_cluster_id())
    return path.read_text()
