"""A cluster of three machines that `ray up cluster.yaml` starts, with Kafka and the store beside it.

Only in name spaces of its own: see `make cluster-test`.
"""

from __future__ import annotations

import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.desk import Desk, reachable
from tests.cluster.hosts import DESK_ADDRESS, HOME, Host, make_network
from tests.conftest import await_group_coordinator
from tests.integration.trial import ROOT, START_TIMEOUT_S, StackUnderTest, Trial
from tests.integration.waiting import eventually
from vnpulse.embedded.kafka import KafkaNode, KafkaNodeConfig
from vnpulse.embedded.ports import PortBook
from vnpulse.embedded.process import ManagedProcess

KAFKA_PORT, STORE_PORT = 9092, 27017

CANARY = uuid.uuid4().hex
"""In every secret. Not in the code, which the job uploads to the hosts."""

SECRETS = {
    "KAFKA_USERNAME": "vnpulse",
    "KAFKA_PASSWORD": f"kafka-{CANARY}",
    "SECOND_READER_API_KEY": f"reader-{CANARY}",
    "MONGODB_URI": f"mongodb://{DESK_ADDRESS}:{STORE_PORT}/"
    f"?directConnection=true&w=majority&journal=true&appName={CANARY}",
}
"""In ~/vnpulse.env of every host, and to be seen nowhere else."""

STORAGE = f"{HOME}/ray-storage"
"""What Ray knows, on the head's disk: it outlives the head."""

UP_DEADLINE_S = 300.0


@pytest.fixture(scope="session")
def folder() -> Path:
    """Short: Ray puts names of its own behind it. Gone with the test's mounts."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        pytest.exit("these tests want a machine of their own; run: make cluster-test", returncode=2)
    if ROOT.is_relative_to("/tmp"):
        pytest.exit("these tests put other folders in the place of /tmp; move the repository", returncode=2)
    path = Path("/tmp/vn")
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def hosts(folder: Path) -> Iterator[dict[str, Host]]:
    """A head, a worker of the kind that may be taken away at any time, and one that says it has a GPU."""
    key = make_network(folder)
    kinds = {
        "head": {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": STORAGE},
        "spot": {"RAY_NODE_MARKET_TYPE": "spot", "RAY_OVERRIDE_RESOURCES": '{"worker": 1}'},
        "gpu": {"RAY_OVERRIDE_RESOURCES": '{"GPU": 1, "worker": 1}'},
    }
    made = {}
    for number, (name, extra) in enumerate(kinds.items(), start=10):
        environment = {**SECRETS, "RAY_AUTH_MODE": "token", **extra}
        environment["RAY_gcs_rpc_server_reconnect_timeout_s"] = "300"
        # Ray's own 15 is for machines of its own: here others may take all the processor time.
        environment["RAY_worker_niceness"] = "0"
        # A node takes 30 % of the machine's memory for objects unless told otherwise.
        environment["RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES"] = "100000000"
        made[name] = Host(name, number, folder / name, key, environment)
    names = {host.name: host.address for host in made.values()}
    try:
        for host in made.values():
            host.boot(names)
        yield made
    finally:
        for host in made.values():
            host.kill()


@pytest.fixture(scope="session")
def backends(folder: Path, hosts: dict[str, Host]) -> Iterator[StackUnderTest]:
    """Kafka and the store on the desk's machine, for all hosts to reach."""
    ports = PortBook(folder / "ports.json")
    listeners = (
        ("listeners", f"PLAINTEXT://0.0.0.0:{KAFKA_PORT},CONTROLLER://127.0.0.1:9093"),
        ("advertised.listeners", f"PLAINTEXT://{DESK_ADDRESS}:{KAFKA_PORT}"),
    )
    kafka = KafkaNode(
        KafkaNodeConfig(
            folder=folder / "kafka", port=KAFKA_PORT, controller_port=9093, extra_properties=listeners
        ),
        ports,
    )
    (folder / "store").mkdir()
    no_settings = folder / "secantusd.toml"
    no_settings.write_text("")
    store = ManagedProcess(
        "store",
        [
            *(sys.executable, "-m", "secantus", "--config", str(no_settings), "--log-level", "WARNING"),
            *("--host", "0.0.0.0", "--port", str(STORE_PORT), "--storage-path", str(folder / "store")),
        ],
        folder / "store.log",
    )
    stack = StackUnderTest(
        kafka_bootstrap=f"{DESK_ADDRESS}:{KAFKA_PORT}",
        mongo_uri=SECRETS["MONGODB_URI"],
        ray_address="auto",
        ray_dashboard_url="",
        kafka_data=folder / "kafka" / "data",
    )
    try:
        kafka.start()
        store.start()
        store.wait_until_ready(lambda: reachable(DESK_ADDRESS, STORE_PORT), START_TIMEOUT_S)
        await_group_coordinator(stack)
        yield stack
    finally:
        store.stop()
        kafka.stop()


@pytest.fixture(scope="session")
def desk(folder: Path, hosts: dict[str, Host]) -> Iterator[Desk]:
    """`ray up cluster.yaml`, and every host has joined."""
    desk = Desk(folder / "desk", hosts["head"], [hosts["spot"], hosts["gpu"]], ROOT / "cluster.yaml")
    addresses = {host.address for host in hosts.values()}
    try:
        desk.up()
        desk.open_dashboard()
        assert eventually(lambda: desk.nodes().keys() == addresses, UP_DEADLINE_S), desk.nodes().keys()
        yield desk
    finally:
        desk.close()


@pytest.fixture(scope="session")
def trial(backends: StackUnderTest, folder: Path) -> Iterator[Trial]:
    """A deployment whose settings the desk has; the hosts get theirs without the store's address."""
    (folder / "trial").mkdir()
    trial = Trial(backends, folder / "trial")
    trial.apply_topics()
    yield trial
    trial.close()


@pytest.fixture(scope="session")
def placed(trial: Trial) -> Path:
    """The settings as they are submitted with the job: placement, and no secret."""
    document = yaml.safe_load(trial.config.read_text())
    document["store"] = {"database": trial.name}
    document["placement"] = yaml.safe_load(
        """
        prices: {hosts: 3}
        analysis: {hosts: 2}
        aggregation: {hosts: 2, node_labels: {ray.io/market-type: "!spot"}}
        supervisor: {resources: {worker: 0.1}}
        technical: {num_gpus: 0.25}
        sentiment: {num_gpus: 0.25}
        """
    )
    document["channels"] = [{"kind": "console"}]
    # Alerts then depend on no timing, however long an analysis is cut off (docs/architecture.md).
    document["aggregation"] = {"wait_s": 600}
    path = trial.folder / "placed.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
