"""A deployment of its own on the shared stack: what a test has instead of a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from pymongo.database import Database

from tests.integration.waiting import eventually
from vnpulse.embedded.process import ManagedProcess
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.clients import open_producer
from vnpulse.kafka.consumer import AssignedConsumer, LoggedRecord
from vnpulse.kafka.lags import LagReader
from vnpulse.kafka.protocols import Producer
from vnpulse.launcher import apply_topics
from vnpulse.messages import AnalysisResult
from vnpulse.serialization.codecs import MessageCodecs, open_codecs
from vnpulse.settings import Settings, load_settings
from vnpulse.store.connection import Document, connect
from vnpulse.store.status import StatusStore
from vnpulse.topics import RESULTS, TopicChange, TopicSpec, dead_letter_topic, load_topics

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]

START_TIMEOUT_S = 120.0
"""Only a failing start takes this long: seven processes on two cores that others use too."""

DRAIN_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 90.0
POLL_MS = 200


@dataclass(frozen=True, kw_only=True)
class StackUnderTest:
    """Where the session's Kafka, store and Ray answer, and where Kafka keeps its log segments."""

    kafka_bootstrap: str
    mongo_uri: str
    ray_address: str
    ray_dashboard_url: str
    kafka_data: Path


class TopicReader:
    """Reads a topic from its beginning to whatever its end is now, and keeps what it has read."""

    def __init__(self, settings: Settings, topic: str) -> None:
        with KafkaAdmin(settings.kafka) as admin:
            partitions = admin.topics([topic])[topic].partitions
        self._consumer = AssignedConsumer(settings.kafka, topic, range(partitions), None, "test-reader")
        self.records: list[LoggedRecord] = []

    def read(self) -> list[LoggedRecord]:
        """Return every record so far, in the order of reading: by offset within a partition."""
        ends = self._consumer.end_offsets()
        while any(self._consumer.positions[p] < end for p, end in ends.items()):
            self.records += self._consumer.poll_records(POLL_MS)
        return self.records

    def close(self) -> None:
        self._consumer.close()


class Driver:
    """``python -m pipelines.NAME``, or a driver of the tests' own, that cannot outlive the test."""

    def __init__(self, trial: Trial, module: str, number: int) -> None:
        self._trial = trial
        self.module = module
        self.process = ManagedProcess(
            module,
            [
                sys.executable,
                "-m",
                module if "." in module else f"pipelines.{module}",
                "--config",
                str(trial.config),
            ],
            trial.folder / f"{module}-{number}.log",
            env={**ray_environment(), "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            grace_s=DRAIN_TIMEOUT_S,
        )

    def start(self) -> None:
        """Spawn the driver; `wait_until_running` or `wait` comes next."""
        self.process.start()

    def wait_until_running(self) -> None:
        """Return when every actor of this driver runs. Raises ComponentFailed if the driver ends first."""
        self.process.wait_until_ready(lambda: "running: " in self.log(), START_TIMEOUT_S)

    def terminate(self) -> int | None:
        """Ask the driver to stop, as `ray job stop` does, and return its exit status."""
        self.process.stop(DRAIN_TIMEOUT_S)
        return self.process.exit_status

    def kill(self) -> None:
        """SIGKILL to the driver itself: nothing of it can clean up."""
        guardian = psutil.Process(self.process.pid)
        for child in guardian.children():
            child.kill()
        assert self.process.wait(DRAIN_TIMEOUT_S) == 128 + signal.SIGKILL

    def log(self) -> str:
        """Return what the driver has printed since it was started."""
        return "\n".join(self.process.tail(10_000))


class Trial:
    """Settings, configuration file and everything a test does with a deployment.

    What it starts and opens is stopped and closed by ``close``, the drivers first.
    """

    def __init__(self, stack: StackUnderTest, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.config = folder / "vnpulse.yaml"
        self.alert_file = folder / "alerts.jsonl"
        self.kafka: dict[str, Any] = {
            "bootstrap_servers": [stack.kafka_bootstrap],
            "topic_prefix": f"{self.name}.",
        }
        self._codecs: MessageCodecs | None = None
        self.write_config()
        self._closing: list[Callable[[], None]] = []
        self.drivers: list[Driver] = []
        self._readers: dict[str, TopicReader] = {}
        self._producer: Producer | None = None
        self._database: Database[Document] | None = None

    def write_config(self, **sections: Any) -> None:
        """(Re)write the configuration file; ``sections`` replace or add whole sections."""
        document: dict[str, Any] = {
            "kafka": self.kafka,
            "store": {"uri": self.stack.mongo_uri, "database": self.name},
            "ray": {
                "address": self.stack.ray_address,
                "dashboard_url": self.stack.ray_dashboard_url,
                "namespace": self.name,
            },
            # Its answers are in a file that people read, and it starts at once.
            "sentiment": {"model": "lexicon"},
            "channels": [{"kind": "jsonl", "path": str(self.alert_file)}],
        }
        self.config.write_text(yaml.safe_dump(document | sections))
        self.settings = load_settings(self.config)
        self._close_codecs()

    def close(self) -> None:
        """Stop what runs, then let go of the broker and the store."""
        for driver in self.drivers:
            driver.process.stop(DRAIN_TIMEOUT_S)
        if self.drivers and StatusStore(self.database()).read():
            self.vnpulse("stop")  # what drivers that were killed have left running
        for reader in self._readers.values():
            reader.close()
        if self._producer is not None:
            self._producer.close()
        self._close_codecs()
        if self._database is not None:
            self._database.client.drop_database(self.name)
            self._database.client.close()

    # Topics

    def topic(self, name: str) -> str:
        """Return the name of a topic on the cluster."""
        return self.settings.kafka.topic(name)

    def apply_topics(self) -> None:
        """Make all topics of configs/topics.yaml."""
        apply_topics(self.settings)

    def make_topic(self, name: str, partitions: int = 1, **spec: Any) -> str:
        """Make one topic and return its name on the cluster."""
        wanted = {"replication": 1, "retention_hours": 1, "compression": "none"} | spec
        topic = self.topic(name)
        with KafkaAdmin(self.settings.kafka) as admin:
            admin.apply(
                [TopicChange(topic, "create", "")], {topic: TopicSpec(partitions=partitions, **wanted)}, 1
            )
        return topic

    def producer(self) -> Producer:
        """Return the product's producer, one for the whole test."""
        if self._producer is None:
            kafka = self.settings.kafka
            # On a busy machine a topic that was made just now may have no leader for a second.
            patient = kafka.producer.model_copy(update={"retries": 50})
            self._producer = open_producer(
                kafka.model_copy(update={"producer": patient}), load_topics(), "test"
            )
        return self._producer

    def codecs(self) -> MessageCodecs:
        """Return what the deployment writes and reads messages with."""
        if self._codecs is None:
            self._codecs = open_codecs(self.settings)
        return self._codecs

    def _close_codecs(self) -> None:
        if self._codecs is not None:
            self._codecs.close()
            self._codecs = None

    def publish(self, name: str, records: Iterable[tuple[str | None, bytes | None]]) -> list[tuple[int, int]]:
        """Send (key, value) pairs to a topic; return (partition, offset) of each, in order."""
        producer = self.producer()
        places: dict[int, tuple[int, int]] = {}
        count = 0
        for i, (key, value) in enumerate(records):
            producer.send(
                self.topic(name),
                key,
                value,
                on_append=lambda partition, offset, _, i=i: places.__setitem__(i, (partition, offset)),
            )
            count += 1
        producer.flush()
        assert eventually(lambda: len(places) == count), "callbacks run on the sender's thread"
        return [places[i] for i in range(count)]

    def records(self, name: str) -> list[LoggedRecord]:
        """Return all that a topic has held since the first call."""
        if name not in self._readers:
            self._readers[name] = TopicReader(self.settings, self.topic(name))
        return self._readers[name].read()

    def results(self, symbol: str | None = None, kind: str | None = None) -> list[AnalysisResult]:
        """Return the analysis results so far, duplicates included."""
        import msgspec

        decode = self.codecs().decoder(AnalysisResult)
        found = []
        for record in self.records(RESULTS):
            if symbol is not None and record.key != symbol.encode():
                continue
            try:
                result = decode(record.value or b"")
            except msgspec.MsgspecError:
                continue  # put there by a test
            if kind in (None, result.analysis_type):
                found.append(result)
        return found

    def dead_letters(self, name: str) -> list[LoggedRecord]:
        """Return the dead letters of a topic so far."""
        return self.records(dead_letter_topic(name))

    def lag(self) -> int:
        """Return the lag of all groups on all topics."""
        with LagReader(self.settings.kafka) as reader:
            return sum(row.lag for row in reader.read())

    def drained(self) -> bool:
        """Wait until nothing is left to consume anywhere."""
        with LagReader(self.settings.kafka) as reader:
            return eventually(lambda: sum(row.lag for row in reader.read()) == 0)

    # The store

    def database(self) -> Database[Document]:
        """Return the deployment's database."""
        if self._database is None:
            self._database = connect(self.settings.store)
        return self._database

    # Processes

    def driver(self, module: str) -> Driver:
        """Return a driver that is not started yet and will be stopped with the test."""
        driver = Driver(self, module, len(self.drivers))
        self.drivers.append(driver)
        return driver

    def run_pipelines(self, *modules: str) -> list[Driver]:
        """Start drivers at the same time and return them when all their actors run."""
        drivers = [self.driver(module) for module in modules]
        for driver in drivers:
            driver.start()
        for driver in drivers:
            driver.wait_until_running()
        return drivers

    def actors(self) -> dict[str, int]:
        """Return the living actors of this deployment by name, with their process ids."""
        url = f"{self.stack.ray_dashboard_url}/api/v0/actors?limit=10000&detail=true"
        with urllib.request.urlopen(url, timeout=30) as answer:
            rows = json.load(answer)["data"]["result"]["result"]
        return {
            row["name"]: row["pid"]
            for row in rows
            if row["ray_namespace"] == self.name and row["state"] == "ALIVE"
        }

    def kill_actor(self, name: str) -> None:
        """SIGKILL to an actor's process, and wait until its supervisor has replaced it."""
        before = self.actors()[name]
        os.kill(before, signal.SIGKILL)
        assert eventually(lambda: self.actors().get(name) not in (None, before))
        statuses = StatusStore(self.database())
        assert eventually(lambda: all(row["status"] == "running" for row in statuses.read()))

    def vnpulse(
        self, *arguments: str | Path, config: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command as a user does; standard output and error are text."""
        words: Sequence[str] = [str(BIN / "vnpulse"), *map(str, arguments)]
        return subprocess.run(
            [*words, "--config", str(config or self.config)],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            env={**os.environ, **(env or {})},
            cwd=self.folder,
            check=False,
        )
