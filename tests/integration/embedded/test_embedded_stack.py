"""The real thing: Kafka, the store and Ray start, answer, keep what they must and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from pymongo import MongoClient

from tests.integration.waiting import eventually
from vnpulse.chaos.relay import Relay
from vnpulse.embedded.errors import ComponentFailed, PortTaken, StackAlreadyRunning
from vnpulse.embedded.ports import LOOPBACK, is_free
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack, StackAddresses, read_addresses

pytestmark = pytest.mark.timeout(240)


def family(stack: EmbeddedStack) -> list[psutil.Process]:
    """Guardians and everything below them."""
    found = []
    for component in stack._components:
        assert component.process is not None
        guardian = psutil.Process(component.process.pid)
        found += [guardian, *guardian.children(recursive=True)]
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(EmbeddedConfig(state_dir=tmp_path_factory.mktemp("whole"))) as stack:
        yield stack


@pytest.fixture
def addresses(whole: EmbeddedStack) -> StackAddresses:
    assert whole.addresses is not None
    return whole.addresses


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_kafka_takes_every_codec(addresses: StackAddresses, codec: str | None) -> None:
    topic = f"codec-{codec}"
    admin = KafkaAdminClient(bootstrap_servers=addresses.kafka_bootstrap)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=addresses.kafka_bootstrap, compression_type=codec)
    producer.send(topic, b"x" * 1000).get(10)
    producer.close()
    consumer = KafkaConsumer(
        topic, bootstrap_servers=addresses.kafka_bootstrap, auto_offset_reset="earliest", group_id=None
    )
    assert next(consumer).value == b"x" * 1000
    consumer.close()


def test_store_keeps_a_document(addresses: StackAddresses) -> None:
    with MongoClient(addresses.mongo_uri) as client:
        client["db"]["things"].insert_one({"_id": 1, "name": "VCB"})
        assert client["db"]["things"].find_one({"_id": 1}) == {"_id": 1, "name": "VCB"}


def test_ray_runs_an_actor_that_imports_vnpulse(addresses: StackAddresses, tmp_path: Path) -> None:
    code = f"""
import ray
ray.init(address={addresses.ray_address!r}, log_to_driver=False)
@ray.remote
class Probe:
    def answer(self):
        import vnpulse.embedded, actors
        return sorted(ray.nodes()[0]["Resources"])
print(ray.get(Probe.options(num_cpus=0).remote().answer.remote()), ray.nodes()[0]["Resources"]["CPU"])
"""
    from vnpulse.embedded.ray_head import ray_environment

    env = {**os.environ, **{k: v for k, v in ray_environment().items() if v is not None}}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("8.0")
    with urllib.request.urlopen(f"{addresses.ray_dashboard_url}/api/version", timeout=5) as answer:
        assert json.load(answer)["ray_version"]


def assert_on_loopback_only(stack: EmbeddedStack) -> None:
    listening = [
        connection.laddr.ip
        for process in family(stack)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 5
    assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_everything_listens_on_loopback_only(whole: EmbeddedStack) -> None:
    assert_on_loopback_only(whole)


def test_second_start_is_refused_with_the_addresses(whole: EmbeddedStack, addresses: StackAddresses) -> None:
    with pytest.raises(StackAlreadyRunning) as caught:
        EmbeddedStack(whole.config).start()
    message = str(caught.value)
    assert str(os.getpid()) in message
    assert str(addresses.kafka_bootstrap) in message
    assert "\n" not in message
    assert whole.failed() == {}


def test_death_of_a_part_is_told(whole: EmbeddedStack) -> None:
    """Last of the tests that use the whole stack: it ends it, and stop must cope with a dead part."""
    everything = family(whole)
    ray = whole._components[0].process
    assert ray is not None
    gcs = next(p for p in psutil.Process(ray.pid).children(recursive=True) if p.name() == "gcs_server")
    gcs.kill()
    assert eventually(lambda: "ray" in whole.failed())
    assert "log:" in whole.failed()["ray"]
    whole.stop()
    assert [p for p in everything if p.is_running()] == []


COUNT = """
import os, sys
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

ray.init(sys.argv[1], namespace="count", log_to_driver=False, logging_level="ERROR")

class Counter:
    count = 0
    def up(self):
        self.count += 1
        return os.getpid(), self.count

options = {"name": "counter", "lifetime": "detached", "get_if_exists": True, "num_cpus": 0}
nodes = [node for node in ray.nodes() if node["Alive"] and "node:__internal_head__" not in node["Resources"]]
(worker,) = (node["NodeID"] for node in nodes)
counter = ray.remote(Counter).options(scheduling_strategy=On(worker, soft=False), **options).remote()
print(*ray.get(counter.up.remote()))
"""


def count_on_the_worker_node(stack: EmbeddedStack) -> tuple[int, int]:
    """Return the process id of a detached actor there, made at the first call, and its count of calls."""
    from vnpulse.embedded.ray_head import ray_environment

    assert stack.addresses is not None
    env = {**os.environ, **{k: v for k, v in ray_environment().items() if v is not None}}
    command = [sys.executable, "-c", COUNT, str(stack.addresses.ray_address)]
    pid, count = subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout.split()
    return int(pid), int(count)


def kill_in(stack: EmbeddedStack, part: str, name: str) -> None:
    process = stack.process(part)
    assert process is not None
    pid = process.descendant(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: part in stack.failed())


def test_with_a_second_node_the_head_comes_back_with_what_it_knew(tmp_path: Path) -> None:
    stack: EmbeddedStack
    with Relay("gcs", lambda: stack.listening_port("ray")) as relay:
        config = EmbeddedConfig(
            state_dir=tmp_path,
            with_kafka=False,
            with_mongo=False,
            with_ray_dashboard=False,
            with_ray_worker=True,
            relays={"ray": relay.port},
        )
        stack = EmbeddedStack(config)
        with stack:
            assert_on_loopback_only(stack)
            actor, count = count_on_the_worker_node(stack)
            assert count == 1
            kill_in(stack, "ray", "gcs_server")
            assert stack.revive() == ["ray"]
            assert count_on_the_worker_node(stack) == (actor, 2)
            kill_in(stack, "ray-worker", "raylet")
            assert eventually(lambda: not psutil.pid_exists(actor))
            assert stack.revive() == ["ray-worker"]
            everything = family(stack)
        assert [p for p in everything if p.is_running()] == []


@pytest.fixture
def light(tmp_path: Path) -> EmbeddedConfig:
    """Without Ray, which takes most of the time."""
    return EmbeddedConfig(state_dir=tmp_path / "state", with_ray=False)


def test_topics_messages_documents_and_ports_survive_a_stop_and_a_kill(light: EmbeddedConfig) -> None:
    with EmbeddedStack(light) as stack:
        first = stack.addresses
        assert first is not None
        admin = KafkaAdminClient(bootstrap_servers=first.kafka_bootstrap)
        admin.create_topics({"kept": {"num_partitions": 3, "replication_factor": 1}})
        admin.close()
        with MongoClient(first.mongo_uri) as client:
            client["db"]["things"].insert_one({"_id": "kept"})
        everything = family(stack)
    assert [p for p in everything if p.is_running()] == []

    owner_code = f"""
import time
from pathlib import Path
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack
EmbeddedStack(EmbeddedConfig(state_dir=Path({str(light.state_dir)!r}), with_ray=False)).start()
print("up", flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", owner_code], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    assert read_addresses(light.state_dir).owner_pid == owner.pid
    owner.kill()
    owner.wait()
    owner.stdout.close()

    with EmbeddedStack(light) as stack:  # waits for the children of the killed owner
        assert stack.addresses is not None
        assert stack.addresses.kafka_bootstrap == first.kafka_bootstrap
        assert stack.addresses.mongo_uri == first.mongo_uri
        admin = KafkaAdminClient(bootstrap_servers=first.kafka_bootstrap)
        assert "kept" in admin.list_topics()
        admin.close()
        with MongoClient(first.mongo_uri) as client:
            assert client["db"]["things"].count_documents({"_id": "kept"}) == 1


def test_a_part_that_cannot_start_stops_the_others(light: EmbeddedConfig) -> None:
    data = light.state_dir / "kafka" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("version=99\n")
    stack = EmbeddedStack(light)
    with pytest.raises(ComponentFailed) as caught:
        stack.start()
    assert str(caught.value).startswith("kafka ended with status 1 while starting: ")
    assert "\n" not in str(caught.value)
    assert "kafka.log" in str(caught.value)
    ports = json.loads((light.state_dir / "ports.json").read_text())
    assert all(is_free(port) for port in ports.values())


def test_a_configured_port_in_use_is_named(light: EmbeddedConfig) -> None:
    import socket

    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        config = EmbeddedConfig(state_dir=light.state_dir, mongo_port=port, with_kafka=False, with_ray=False)
        with pytest.raises(PortTaken, match=str(port)):
            EmbeddedStack(config).start()
