"""One cluster of three brokers for the tests that kill some of them; a Ray with a node to lose."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from vnpulse.chaos.relay import Relay
from vnpulse.embedded.kafka_cluster import KafkaCluster, KafkaClusterConfig
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack
from vnpulse.kafka.connection import client_options
from vnpulse.kafka.settings import KafkaSettings


@pytest.fixture(scope="package")
def cluster() -> Iterator[KafkaCluster]:
    folder = Path(tempfile.mkdtemp(prefix="vnp-"))
    try:
        with KafkaCluster(KafkaClusterConfig(folder=folder)) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def kafka(cluster: KafkaCluster) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=cluster.bootstrap)


@pytest.fixture(scope="package")
def operator(kafka: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """Kafka's own Admin API, for what only operators do."""
    client = KafkaAdminClient(**client_options(kafka, "operator"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[EmbeddedStack]:
    """A Ray of its own: a head without a GPU, and a node that says it has one."""
    folder = Path(tempfile.mkdtemp(prefix="vnp-"))
    nodes: EmbeddedStack
    try:
        with Relay("gcs", lambda: nodes.listening_port("ray")) as relay:
            nodes = EmbeddedStack(
                EmbeddedConfig(
                    state_dir=folder,
                    with_kafka=False,
                    with_mongo=False,
                    with_ray_dashboard=False,
                    ray_num_gpus=0,
                    with_ray_worker=True,
                    ray_worker_num_gpus=1,
                    relays={"ray": relay.port},
                )
            )
            with nodes:
                yield nodes
    finally:
        shutil.rmtree(folder, ignore_errors=True)
