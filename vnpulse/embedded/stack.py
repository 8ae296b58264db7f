"""Kafka, the store and Ray together: one owner process, one state folder, one lock."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from vnpulse.embedded.atomic_file import write_atomically
from vnpulse.embedded.errors import (
    EmbeddedStackError,
    StackAlreadyRunning,
    StackChanging,
    StackNotRunning,
    StartCancelled,
    one_line,
)
from vnpulse.embedded.kafka import DEFAULT_HEAP_MB, KafkaNode, KafkaNodeConfig
from vnpulse.embedded.kafka_security import NodeSecurity
from vnpulse.embedded.mongo import DEFAULT_CACHE_MB, MongoConfig, MongoServer
from vnpulse.embedded.ports import PortBook
from vnpulse.embedded.process import ManagedProcess
from vnpulse.embedded.ray_head import DEFAULT_NUM_CPUS, DEFAULT_OBJECT_STORE_MB, RayHead, RayHeadConfig
from vnpulse.embedded.ray_worker import RayWorker, RayWorkerConfig

OWNER_LOCK = "stack.lock"
"""Held by the owner process. Whether a stack runs is judged by this lock alone."""

CHILDREN_LOCK = "children.lock"
"""Held by the guardians too: after a killed owner it becomes free when the last child is gone."""

ADDRESSES_FILE = "stack.json"
PORTS_FILE = "ports.json"

LEFTOVER_DEADLINE_S = 40.0
"""For the children of a killed owner to end: longer than the longest grace, a broker's 20 s."""

PROGRESS_PERIOD_S = 0.1
LOCK_PERIOD_S = 0.05


@dataclass(frozen=True, kw_only=True)
class EmbeddedConfig:
    """What to start and how large. A port of None is chosen once and kept while it is free."""

    state_dir: Path
    kafka_port: int | None = None
    kafka_security: NodeSecurity | None = None
    mongo_port: int | None = None
    ray_dashboard_port: int | None = None
    kafka_heap_mb: int = DEFAULT_HEAP_MB
    mongo_cache_mb: int = DEFAULT_CACHE_MB
    ray_num_cpus: int = DEFAULT_NUM_CPUS
    ray_num_gpus: float | None = None
    ray_object_store_mb: int = DEFAULT_OBJECT_STORE_MB
    with_kafka: bool = True
    with_mongo: bool = True
    with_ray: bool = True
    with_ray_dashboard: bool = True
    with_ray_worker: bool = False
    """A second Ray node, which joins through a relay, and a head that comes back with what it knew."""
    ray_worker_num_gpus: float = 0.0
    relays: Mapping[str, int] = field(default_factory=dict)
    """By part ("kafka", "mongo"; "ray": its GCS, for the second node), the port of a relay in front of it,
    which clients are told in place of its own (see `EmbeddedStack.listening_port`)."""


@dataclass(frozen=True, kw_only=True)
class StackAddresses:
    """Where a running stack answers; None for a part that was left out. ``started_at`` is ISO 8601, UTC."""

    owner_pid: int
    started_at: str
    kafka_bootstrap: str | None = None
    kafka_ssl_bootstrap: str | None = None
    mongo_uri: str | None = None
    ray_address: str | None = None
    ray_dashboard_url: str | None = None

    def __str__(self) -> str:
        parts = {
            "kafka": self.kafka_bootstrap,
            "mongo": self.mongo_uri,
            "ray": self.ray_address,
            "dashboard": self.ray_dashboard_url,
        }
        return ", ".join(f"{name} {address}" for name, address in parts.items() if address)


Component = KafkaNode | MongoServer | RayHead | RayWorker


class EmbeddedStack:
    """Starts, watches and stops the three parts.

    Contract
    - One owner a state folder: a second `start` raises StackAlreadyRunning and touches nothing.
    - Kept in the folder across stops and kills: topics and messages, documents, port numbers.
    - Ray's actors, jobs and objects are lost at every stop.
    - When this process dies in whatever way, all parts are stopped by their guardians; the next start
      waits for that.
    - `stop` goes Ray, Kafka, store: first who uses, then what is used. Idempotent, never raises for a
      part that is dead already.
    """

    def __init__(self, config: EmbeddedConfig) -> None:
        self.config = config
        self._owner_lock: int | None = None
        self._children_lock: int | None = None
        self._components: list[Component] = []  # in the order of stopping
        self.addresses: StackAddresses | None = None

    def __enter__(self) -> Self:
        if self.addresses is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, on_progress: Callable[[str], None] = lambda _: None) -> StackAddresses:
        """Starts all parts at once and returns when each answers. ``on_progress`` gets short lines, in the
        calling thread. Raises EmbeddedStackError in one line; then nothing is left running, and the same
        holds for an interrupt."""
        if self._owner_lock is not None:
            raise EmbeddedStackError(f"this stack is already started in {self.config.state_dir}")
        if sys.platform != "linux":
            raise EmbeddedStackError("the embedded stack needs Linux: give the addresses of running services")
        state_dir = self.config.state_dir
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedStackError(f"cannot use {state_dir} for the stack: {one_line(error)}") from error
        self._owner_lock = _take_owner_lock(state_dir)
        try:
            (state_dir / ADDRESSES_FILE).unlink(missing_ok=True)
            self._children_lock = _take_children_lock(state_dir, on_progress)
            self._components = self._build(self._children_lock)
            self._start_all(on_progress)
            return self._publish_addresses()
        except BaseException:
            self.stop()
            raise

    def stop(self, on_progress: Callable[[str], None] = lambda _: None) -> None:
        """Stops Ray, Kafka and the store in this order, each with its own deadline."""
        if self._owner_lock is None:
            return
        (self.config.state_dir / ADDRESSES_FILE).unlink(missing_ok=True)
        self.addresses = None
        try:
            for component in self._components:
                on_progress(f"{component.name}: stopping")
                component.stop()
        finally:
            self._components = []
            if self._children_lock is not None:
                os.close(self._children_lock)
                self._children_lock = None
            os.close(self._owner_lock)
            self._owner_lock = None

    def revive(self, on_progress: Callable[[str], None] = lambda _: None) -> list[str]:
        """Start again, where they were, the parts that have died; return their names.

        Topics and documents are there again; Ray comes back empty. Raises EmbeddedStackError.
        """
        dead = [part for part in self._components if part.process is not None and not part.process.alive]
        for part in reversed(dead):  # first what is used, then who uses it
            assert part.process is not None
            part.process.stop()  # closes what is left of it here
            began = time.monotonic()
            part.start(on_progress)
            on_progress(f"{part.name}: back after {time.monotonic() - began:.1f} s")
        if dead:
            self._publish_addresses()
        return [part.name for part in dead]

    def listening_port(self, name: str) -> int:
        """Return where "kafka", "mongo" or "ray" (its GCS) itself listens, relay or not."""
        part = next(part for part in self._components if part.name == name)
        assert not isinstance(part, RayWorker)
        return part.port

    def process(self, name: str) -> ManagedProcess | None:
        """Return the process of a part ("kafka", "mongo", "ray", "ray-worker")."""
        return next((part.process for part in self._components if part.name == name), None)

    def failed(self) -> dict[str, str]:
        """Parts that have died since `start`: name to one line with the last useful log line and the log."""
        dead: dict[str, str] = {}
        for component in self._components:
            process = component.process
            if process is not None and process.exit_status is not None:
                dead[component.name] = (
                    f"{component.name} ended with status {process.exit_status}{process.last_words()}"
                )
        return dead

    def _build(self, children_lock: int) -> list[Component]:
        config = self.config
        ports = PortBook(config.state_dir / PORTS_FILE)
        components: list[Component] = []
        # Absolute: the children run in folders of their own.
        root = config.state_dir.resolve()
        if config.with_ray:
            ray = RayHeadConfig(
                folder=root / "ray",
                dashboard_port=config.ray_dashboard_port,
                num_cpus=config.ray_num_cpus,
                num_gpus=config.ray_num_gpus,
                object_store_mb=config.ray_object_store_mb,
                with_dashboard=config.with_ray_dashboard,
                lasting=config.with_ray_worker,
            )
            head = RayHead(ray, ports, hold_fds=[children_lock])
            if config.with_ray_worker:
                worker = RayWorkerConfig(
                    folder=root / "ray-worker",
                    gcs_port=config.relays["ray"],
                    num_gpus=config.ray_worker_num_gpus,
                    object_store_mb=config.ray_object_store_mb,
                )
                components.append(RayWorker(worker, head, ports, hold_fds=[children_lock]))
            components.append(head)
        if config.with_kafka:
            kafka = KafkaNodeConfig(
                folder=root / "kafka",
                port=config.kafka_port,
                client_port=config.relays.get("kafka"),
                heap_mb=config.kafka_heap_mb,
                security=config.kafka_security,
            )
            components.append(KafkaNode(kafka, ports, hold_fds=[children_lock]))
        if config.with_mongo:
            mongo = MongoConfig(
                folder=root / "mongo",
                port=config.mongo_port,
                client_port=config.relays.get("mongo"),
                cache_mb=config.mongo_cache_mb,
            )
            components.append(MongoServer(mongo, ports, hold_fds=[children_lock]))
        return components

    def _start_all(self, on_progress: Callable[[str], None]) -> None:
        """The first failure cancels the others and is raised."""
        cancel = threading.Event()
        said: queue.SimpleQueue[str] = queue.SimpleQueue()

        def start_one(component: Component) -> None:
            began = time.monotonic()
            said.put(f"{component.name}: starting")
            component.start(said.put, cancel)
            said.put(f"{component.name}: ready after {time.monotonic() - began:.1f} s")

        with ThreadPoolExecutor(max(1, len(self._components)), "start") as pool:
            waiting: set[Future[None]] = {pool.submit(start_one, part) for part in self._components}
            failure: BaseException | None = None
            try:
                while waiting:
                    done, waiting = wait(waiting, PROGRESS_PERIOD_S, FIRST_COMPLETED)
                    while not said.empty():
                        on_progress(said.get())
                    for future in done:
                        error = future.exception()
                        if error is not None:
                            cancel.set()
                            if failure is None or isinstance(failure, StartCancelled):
                                failure = error
            finally:
                cancel.set()  # an interrupt here must not wait for the slowest part
            if failure is not None:
                raise failure

    def _publish_addresses(self) -> StackAddresses:
        self.addresses = addresses = self._collect_addresses()
        text = json.dumps(asdict(addresses), indent=1)
        write_atomically(self.config.state_dir / ADDRESSES_FILE, text)
        return addresses

    def _collect_addresses(self) -> StackAddresses:
        kafka = kafka_ssl = mongo = ray = dashboard = None
        for component in self._components:
            if isinstance(component, KafkaNode):
                kafka, kafka_ssl = component.bootstrap, component.ssl_bootstrap
            elif isinstance(component, MongoServer):
                mongo = component.uri
            elif isinstance(component, RayHead):
                ray, dashboard = component.address, component.dashboard_url
        return StackAddresses(
            owner_pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            kafka_bootstrap=kafka,
            kafka_ssl_bootstrap=kafka_ssl,
            mongo_uri=mongo,
            ray_address=ray,
            ray_dashboard_url=dashboard,
        )


def read_addresses(state_dir: Path) -> StackAddresses:
    """The addresses of the stack that runs in this folder. Raises StackNotRunning in one line."""
    lock = state_dir / OWNER_LOCK
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _not_running(state_dir) from None
    except OSError as error:
        raise EmbeddedStackError(f"cannot look at the stack in {state_dir}: {one_line(error)}") from error
    try:
        # Shared, so that two readers never take each other for an owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        addresses = _stored_addresses(state_dir)
        if addresses is None:
            raise StackChanging(
                f"the stack in {state_dir} is starting or stopping (process {_owner_of(fd)}): "
                "try again shortly"
            ) from None
        return addresses
    finally:
        os.close(fd)
    raise _not_running(state_dir)


def _not_running(state_dir: Path) -> StackNotRunning:
    return StackNotRunning(f"no stack is running in {state_dir}: start one with `vnpulse up`")


def _stored_addresses(state_dir: Path) -> StackAddresses | None:
    try:
        return StackAddresses(**json.loads((state_dir / ADDRESSES_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _owner_of(fd: int) -> str:
    return os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"


def _take_owner_lock(state_dir: Path) -> int:
    fd = os.open(state_dir / OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # A reader may hold the lock for an instant; an owner holds it for good.
        for attempt in range(3):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 2:
                    addresses = _stored_addresses(state_dir)
                    where = f": {addresses}" if addresses else ", which is still starting or stopping"
                    raise StackAlreadyRunning(
                        f"a stack already runs in {state_dir}, owned by process {_owner_of(fd)}{where}"
                    ) from None
                time.sleep(LOCK_PERIOD_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _take_children_lock(state_dir: Path, on_progress: Callable[[str], None]) -> int:
    """Waits until the children of a killed owner are gone, then takes the lock that new ones will hold."""
    fd = os.open(state_dir / CHILDREN_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    give_up_at = time.monotonic() + LEFTOVER_DEADLINE_S
    told = False
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise EmbeddedStackError(
                        f"children of an earlier stack in {state_dir} do not end: "
                        f"see who holds {state_dir / CHILDREN_LOCK} (fuser) and end it"
                    ) from None
                if not told:
                    on_progress("waiting for the parts of a stack that was killed to end")
                    told = True
                time.sleep(LOCK_PERIOD_S)
    except BaseException:
        os.close(fd)
        raise
