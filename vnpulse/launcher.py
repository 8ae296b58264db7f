"""Bring a deployment up: the stack if it is embedded, the topics, and the pipelines' driver.

The driver is the same ``python -m pipelines.run`` that ``ray job submit`` runs, as a child
process: this layer imports no Ray.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from vnpulse.acls import load_acls, wanted_acls
from vnpulse.deployment import as_super_user, embedded_config, with_addresses
from vnpulse.embedded.errors import ComponentFailed
from vnpulse.embedded.process import ManagedProcess
from vnpulse.embedded.ray_head import ray_environment
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack
from vnpulse.errors import VnpulseError
from vnpulse.kafka.acls import AclAdmin
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.users import put_users
from vnpulse.security.trial import TrialFolder
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore
from vnpulse.topics import TopicChange, TopicSpec, load_topics, plan

PIPELINES_READY_TIMEOUT_S = 180.0
"""A first start compiles the indicator kernels and may load a large model; later ones take seconds."""

DRAIN_TIMEOUT_S = 60.0
"""For the driver to stop its consumers in order; each finishes the batch in hand."""

HEALS_LIMIT = 5
HEALS_WINDOW_S = 600.0

Say = Callable[[str], None]


class Deployment:
    """A stack with its topics and, once started, its pipelines; stopped in the opposite order.

    Everything is a child of this process and ends with it, however it ends. A context manager:
    leaving it stops all.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path,
        say: Say,
        heals_limit: int = HEALS_LIMIT,
        driver: str = "pipelines.run",
        stack: EmbeddedConfig | None = None,
    ) -> None:
        """``config`` is the file that ``settings`` were read from; the driver, a module, reads it again.
        ``stack`` is what to start in place of just what the settings name."""
        assert settings.embedded is not None
        self._config = config
        self._module = driver
        self._say = say
        self._state_dir = settings.embedded.state_dir
        self._stack = EmbeddedStack(stack or embedded_config(settings))
        self._unresolved = settings
        self._driver: ManagedProcess | None = None
        self._heals_limit = heals_limit
        self._deaths: list[tuple[str, float]] = []
        self.settings = settings

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_stack(self) -> None:
        """Start the stack and make the topics. Raises EmbeddedStackError."""
        addresses = self._stack.start(self._say)
        self.settings = owner = with_addresses(self._unresolved, addresses)
        embedded = self._unresolved.embedded
        if embedded is not None and embedded.kafka_security is not None:
            owner = as_super_user(self._unresolved, addresses)
            put_users(owner.kafka, TrialFolder(embedded.kafka_security).users())
            apply_acls(owner)
        _, remarks = apply_topics(owner)
        for remark in remarks:
            self._say(f"topics: {remark}")

    def start_pipelines(self) -> None:
        """Start the driver and wait until every actor runs. Raises EmbeddedStackError."""
        self._say("pipelines: starting")
        began = time.monotonic()
        statuses = StatusStore(connect(self.settings.store))
        statuses.clear()
        log_path = self._state_dir / "logs" / "pipelines.log"
        self._driver = ManagedProcess(
            "pipelines",
            [sys.executable, "-m", self._module, "--config", str(self._config)],
            log_path,
            env={**ray_environment(), "PYTHONUNBUFFERED": "1", "RAY_COLOR_PREFIX": "0"},
            grace_s=DRAIN_TIMEOUT_S,
        )
        self._driver.start()
        self._driver.wait_until_ready(lambda: _all_run(statuses), PIPELINES_READY_TIMEOUT_S)
        self._say(f"pipelines: ready after {time.monotonic() - began:.1f} s")

    @property
    def log_path(self) -> Path | None:
        """The driver's log, where the console channel writes."""
        return self._driver.log_path if self._driver else None

    def switch(self, settings: Settings, config: Path) -> None:
        """Stop the pipelines and go on with other settings on the same stack; make their topics."""
        self.stop_pipelines()
        addresses = self._stack.addresses
        assert addresses is not None
        self._unresolved, self._config = settings, config
        self.settings = with_addresses(settings, addresses)
        apply_topics(self.settings)

    def heal(self) -> list[str]:
        """Bring back what has died; return one line for each part, empty if nothing has.

        A part that does not come up, because it or what it needs died again meanwhile, is left for the
        next call. Raises VnpulseError for a part that died HEALS_LIMIT times within HEALS_WINDOW_S:
        something is wrong that a restart does not cure.
        """
        lines = list(self._stack.failed().items())
        if self._driver is not None and not self._driver.alive:
            last = self._driver.tail(1)
            said = f"pipelines ended: {last[-1] if last else 'no output'} (log: {self._driver.log_path})"
            lines.append(("pipelines", said))
        now = time.monotonic()
        for name, line in lines:
            self._deaths = [(n, at) for n, at in self._deaths if now - at < HEALS_WINDOW_S] + [(name, now)]
            if sum(n == name for n, _ in self._deaths) > self._heals_limit:
                raise VnpulseError(line)
        if not lines:
            return []
        if self._driver is not None and any(name == "ray" for name, _ in lines):
            # A driver does not survive its Ray: what it waits for is gone.
            self._driver.stop(0.0)
        try:
            self._stack.revive(self._say)
            assert self._stack.addresses is not None
            self.settings = with_addresses(self._unresolved, self._stack.addresses)
            if self._driver is not None and not self._driver.alive:
                self.start_pipelines()
        except VnpulseError as error:
            if not (error.retriable or isinstance(error, ComponentFailed)):
                raise
            self._say(str(error))
        return [line for _, line in lines]

    def process(self, name: str) -> ManagedProcess | None:
        """Return the process of a part: "kafka", "mongo", "ray", "ray-worker" or "pipelines"."""
        return self._driver if name == "pipelines" else self._stack.process(name)

    def listening_port(self, name: str) -> int:
        """Return where a part itself listens; see `EmbeddedStack.listening_port`."""
        return self._stack.listening_port(name)

    def failed(self) -> str | None:
        """Return one line about a part that has died, if any has."""
        if self._driver is not None and not self._driver.alive:
            lines = self._driver.tail(1)
            return f"pipelines ended: {lines[-1] if lines else 'no output'} (log: {self._driver.log_path})"
        return next(iter(self._stack.failed().values()), None)

    def stop_pipelines(self) -> None:
        """Have the pipelines finish what is in hand and end. Idempotent."""
        if self._driver is not None:
            self._say("pipelines: stopping")
            self._driver.stop(DRAIN_TIMEOUT_S)
            self._driver = None

    def stop(self) -> None:
        """Stop the pipelines, then the stack. Idempotent."""
        self.stop_pipelines()
        self._stack.stop(self._say)


def _all_run(statuses: StatusStore) -> bool:
    with suppress(VnpulseError):
        rows = statuses.read()
        return bool(rows) and all(row["status"] == "running" for row in rows)
    return False


def apply_acls(settings: Settings) -> None:
    """Give every component the rights of configs/acls.yaml; rights beyond it stay."""
    topics = load_topics()
    wanted = wanted_acls(load_acls(topics), topics, settings.kafka)
    with AclAdmin(settings.kafka) as admin:
        admin.add(wanted - admin.read())


def prefixed_topics(settings: Settings) -> dict[str, TopicSpec]:
    """Return the topic specifications by their names on the cluster."""
    return {settings.kafka.topic(name): spec for name, spec in load_topics().items()}


def apply_topics(settings: Settings) -> tuple[list[TopicChange], Sequence[str]]:
    """Make the topics as configured; return what was found to differ, and remarks."""
    wanted = prefixed_topics(settings)
    with KafkaAdmin(settings.kafka) as admin:
        brokers = admin.broker_count()
        changes, remarks = plan(wanted, admin.topics(wanted), brokers)
        admin.apply(changes, wanted, brokers)
    return changes, remarks
