"""One embedded stack for all tests that need one, and on it a deployment of its own for each of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.integration.trial import StackUnderTest, Trial
from tests.integration.waiting import eventually
from vnpulse.embedded.parent import end_with_parent
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack
from vnpulse.errors import BrokerUnavailable
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import TopicChange, TopicSpec

LOGICAL_CPUS, LOGICAL_GPUS = 8, 2
"""What Ray schedules by, whatever the machine has."""

FIRST_TOPIC = TopicSpec(partitions=1, replication=1, retention_hours=1, compression="none")

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "untimed",
    parent=hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    """Whoever kills `make test` ends the tests too, and with them all that they started."""
    end_with_parent()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The deployment that many tests share comes last: idle among others' it takes a quarter of a core."""
    of_running = {item.path for item in items if "running" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in of_running)


@pytest.fixture(scope="session")
def stack() -> Iterator[StackUnderTest]:
    """Kafka, the store and Ray; with MONGODB_URI set, the store is the one that it names."""
    # Short: Ray and Kafka put names of their own behind it.
    folder = Path(tempfile.mkdtemp(prefix="vnp-"))
    uri = os.environ.get("MONGODB_URI")
    try:
        config = EmbeddedConfig(
            state_dir=folder / "state",
            with_mongo=not uri,
            ray_num_gpus=LOGICAL_GPUS,
            ray_num_cpus=LOGICAL_CPUS,
        )
        with EmbeddedStack(config) as running:
            addresses = running.addresses
            assert addresses is not None
            under_test = StackUnderTest(
                kafka_bootstrap=addresses.kafka_bootstrap or "",
                mongo_uri=uri or addresses.mongo_uri or "",
                ray_address=addresses.ray_address or "",
                ray_dashboard_url=addresses.ray_dashboard_url or "",
                kafka_data=folder / "state" / "kafka" / "data",
            )
            await_group_coordinator(under_test)
            yield under_test
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def await_group_coordinator(stack: StackUnderTest) -> None:
    """A new broker makes its offsets topic when the first group is asked about; what that looks like is
    the subject of tests/integration/kafka/test_new_broker.py."""

    def answers() -> bool:
        try:
            with KafkaAdmin(KafkaSettings(bootstrap_servers=(stack.kafka_bootstrap,))) as admin:
                admin.apply([TopicChange("first", "create", "")], {"first": FIRST_TOPIC}, 1)
                return bool(admin.lag("first", ["first"]))
        except BrokerUnavailable:
            return False

    assert eventually(answers)


@pytest.fixture(scope="module")
def make_trial(
    stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Trial]]:
    """Makes deployments that last as long as the tests of a module: longer, they would slow all others."""
    made: list[Trial] = []

    def make() -> Trial:
        made.append(Trial(stack, tmp_path_factory.mktemp("trial")))
        return made[-1]

    yield make
    for trial in made:
        trial.close()


@pytest.fixture
def trial(stack: StackUnderTest, tmp_path: Path) -> Iterator[Trial]:
    """A deployment of the test's own: topic prefix, database, Ray namespace, settings file; no topics yet."""
    trial = Trial(stack, tmp_path)
    yield trial
    trial.close()


@pytest.fixture
def deployment(trial: Trial) -> Trial:
    """The same with all topics of configs/topics.yaml."""
    trial.apply_topics()
    return trial
