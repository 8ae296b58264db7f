"""Three brokers, of which one or two are killed under load: what was acknowledged is there, once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from kafka import KafkaAdminClient

from tests.chaos.brokers import in_sync, kill, leaders, revive
from tests.integration.waiting import eventually
from vnpulse.embedded.kafka_cluster import KafkaCluster
from vnpulse.errors import BrokerUnavailable, VnpulseError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.kafka.tuning import ProducerTuning
from vnpulse.topics import TopicChange, TopicSpec, plan

SPEC = TopicSpec(partitions=3, replication=3, retention_hours=1, compression="snappy")
GROUP = "chaos-readers"
BATCH = 50
PREFERRED = 0


@pytest.fixture
def topic(kafka: KafkaSettings, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own on all three brokers."""
    name = request.node.name.replace("_", "-")[:60]
    with KafkaAdmin(kafka) as admin:
        admin.apply([TopicChange(name, "create", "")], {name: SPEC}, 3)
    return name


@dataclass
class Load:
    """Sends numbered records without a pause and consumes them as a group, each on a thread of its own.

    ``acknowledged`` and ``read`` count ids: by the broker's answer, and by what was consumed.
    """

    kafka: KafkaSettings
    topic: str
    acknowledged: Counter[int] = field(default_factory=Counter)
    read: Counter[int] = field(default_factory=Counter)
    errors: list[VnpulseError] = field(default_factory=list)
    sent: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._consume)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def goes_on(self) -> bool:
        """Wait until records that are sent from now on have been acknowledged and read."""
        goal = self.sent + 5 * BATCH
        return eventually(lambda: self.sent >= goal and self.read.total() >= goal)

    def _send(self) -> None:
        producer = StockKafkaProducer(self.kafka, {self.topic: SPEC}, "load")
        while not self.stopping.is_set():
            try:
                for number in range(self.sent, self.sent + BATCH):
                    producer.send(
                        self.topic, str(number), str(number).encode(), on_append=self._appended(number)
                    )
                producer.flush()
            except VnpulseError as error:
                self.errors.append(error)
                break
            self.sent += BATCH
        producer.close()

    def _appended(self, number: int) -> Callable[[int, int, int], None]:
        return lambda *_: self.acknowledged.update((number,))

    def _consume(self) -> None:
        consumer = AssignedConsumer(self.kafka, self.topic, range(SPEC.partitions), GROUP, "load")
        give_up_at = None
        while self.read.total() < self.sent or not self.stopping.is_set():
            if self.stopping.is_set():
                give_up_at = give_up_at or time.monotonic() + 30
                if time.monotonic() > give_up_at:
                    break
            try:
                for batch in consumer.poll(200):
                    self.read.update(int(value or b"-1") for value in batch.values)
                consumer.commit(consumer.positions)
            except VnpulseError as error:
                self.errors.append(error)
        consumer.close()


def test_topics_need_two_of_three_replicas(kafka: KafkaSettings, topic: str) -> None:
    with KafkaAdmin(kafka) as admin:
        states = admin.topics([topic])
        assert admin.broker_count() == 3
    assert states[topic].replication == 3
    assert states[topic].configs["min.insync.replicas"] == "2"
    assert plan({topic: SPEC}, states, brokers=3) == ([], [])


def test_a_killed_broker_costs_no_acknowledged_record_and_doubles_none(
    cluster: KafkaCluster, kafka: KafkaSettings, topic: str, operator: KafkaAdminClient
) -> None:
    with Load(kafka, topic) as load:
        assert load.goes_on()
        victim = leaders(operator, topic)[0]
        kill(cluster, victim)
        assert eventually(lambda: victim not in leaders(operator, topic).values())
        assert load.goes_on()

        revive(cluster, victim)
        assert eventually(lambda: in_sync(operator, topic))
        # The revived broker leads nothing; giving it back what it led moves leaders under load again.
        operator.elect_leaders(PREFERRED, {topic: list(range(SPEC.partitions))}, raise_errors=False)
        assert eventually(lambda: len(set(leaders(operator, topic).values())) == 3)
        assert load.goes_on()
    assert load.errors == []
    assert load.acknowledged == dict.fromkeys(range(load.sent), 1)
    assert load.read == load.acknowledged


def test_two_dead_brokers_stop_writes_with_a_reason_and_cost_no_acknowledged_record(
    cluster: KafkaCluster, kafka: KafkaSettings, topic: str, operator: KafkaAdminClient
) -> None:
    # Told after seconds, not after the two minutes that a broker is given by default.
    impatient = ProducerTuning(request_timeout_ms=4_000, delivery_timeout_ms=5_000)
    producer = StockKafkaProducer(kafka.model_copy(update={"producer": impatient}), {topic: SPEC}, "two-dead")
    acknowledged: list[bytes] = []

    def send(value: bytes) -> None:
        producer.send(topic, "VCB", value, on_append=lambda *_: acknowledged.append(value))
        producer.flush()

    send(b"before")
    survivor = leaders(operator, topic)[0]
    dead = [node_id for node_id in cluster.nodes if node_id != survivor]
    for node_id in dead:
        kill(cluster, node_id)
    with pytest.raises(BrokerUnavailable, match=f"does not answer .*{topic}"):
        send(b"during")
    revive(cluster, *dead)
    assert eventually(lambda: in_sync(operator, topic))
    send(b"after")
    producer.close()
    consumer = AssignedConsumer(kafka, topic, range(SPEC.partitions), None, "two-dead")
    values: list[bytes | None] = []
    assert eventually(
        lambda: values.extend(r.value for r in consumer.poll_records(200)) or b"after" in values
    )
    consumer.close()
    assert acknowledged == [b"before", b"after"]
    assert [values.count(value) for value in acknowledged] == [1, 1]
