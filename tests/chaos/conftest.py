"""One cluster of three brokers for all tests that kill some of them."""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from vnpulse.embedded.kafka_cluster import KafkaCluster, KafkaClusterConfig
from vnpulse.kafka.settings import KafkaSettings


@pytest.fixture(scope="package")
def cluster() -> Iterator[KafkaCluster]:
    folder = Path(tempfile.mkdtemp(prefix="vnp-"))
    try:
        with KafkaCluster(KafkaClusterConfig(folder=folder)) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()  # here, where the warnings about those sockets are expected


@pytest.fixture(scope="package")
def silent_client() -> Iterator[None]:
    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="package")
def kafka(cluster: KafkaCluster) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=cluster.bootstrap)


@pytest.fixture(scope="package")
def operator(cluster: KafkaCluster) -> Iterator[KafkaAdminClient]:
    """Kafka's own Admin API, for what only operators do."""
    client = KafkaAdminClient(bootstrap_servers=list(cluster.bootstrap))
    yield client
    client.close()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Sockets that a client left to the garbage collector go here, where their warnings are expected."""
    yield
    gc.collect()
