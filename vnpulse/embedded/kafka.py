"""Apache Kafka in KRaft mode as a child process: broker and controller in one, on the loopback interface."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vnpulse.embedded.atomic_file import write_atomically
from vnpulse.embedded.errors import ComponentFailed, EmbeddedStackError
from vnpulse.embedded.java import Java, find_java
from vnpulse.embedded.kafka_jars import KAFKA_VERSION, KafkaJars, kafka_jars
from vnpulse.embedded.kafka_security import (
    CONTROLLER_LISTENER,
    SASL_LISTENER,
    SSL_LISTENER,
    NodeSecurity,
)
from vnpulse.embedded.ports import LOOPBACK, PortBook
from vnpulse.embedded.process import ManagedProcess

READY_TIMEOUT_S = 60.0
FORMAT_TIMEOUT_S = 60.0
STOP_DEADLINE_S = 20.0
"""A stop takes 0.5 s, 5 s when it also writes the class archive; a killed broker checks its logs at start."""

PROBE_TIMEOUT_S = 1.0
PORT_ATTEMPTS = 2
DEFAULT_HEAP_MB = 512
OFFSETS_PARTITIONS = 5
TRANSACTION_PARTITIONS = 5
BROKER_SESSION_MS = 3_000
"""A killed broker is let in again only when its old session has ended: Kafka's own 9 s made a start after a
kill take 15 s."""

LOG_FILE_SIZE = "5MB"

_LOG4J = """\
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={path}
appender.file.filePattern={path}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c{{1}} - %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size={size}
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=info
"""


@dataclass(frozen=True, kw_only=True)
class Voter:
    """One controller of the quorum."""

    node_id: int
    port: int


@dataclass(frozen=True, kw_only=True)
class KafkaNodeConfig:
    """One node. Nodes of one cluster share ``cluster_id`` and ``voters``; a single node may leave both out.

    ``folder`` holds everything of the node: data, properties, logs. ``replication`` is that of the
    internal topics and the default for new ones. Without ``security`` there is one plain listener.
    """

    folder: Path
    node_id: int = 1
    security: NodeSecurity | None = None
    port: int | None = None
    client_port: int | None = None
    """What clients are told in place of ``port``: of a relay in front. Not with ``security``."""
    controller_port: int | None = None
    voters: tuple[Voter, ...] = ()
    cluster_id: str | None = None
    replication: int = 1
    heap_mb: int = DEFAULT_HEAP_MB
    version: str = KAFKA_VERSION
    extra_properties: tuple[tuple[str, str], ...] = ()


def new_cluster_id() -> str:
    """A random id in Kafka's form: 22 characters of URL-safe base64, no leading dash."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


class KafkaNode:
    """A broker that is also a controller.

    Hard state: the node's folder (topics, offsets, cluster id), kept across stops and kills. Soft: the
    process, the sockets. The port is remembered in the PortBook and stays while it is free.
    """

    name = "kafka"

    def __init__(self, config: KafkaNodeConfig, ports: PortBook, *, hold_fds: Sequence[int] = ()) -> None:
        if config.security and config.client_port:
            raise ValueError("a broker with security has listeners of its own, and no relay in front of them")
        self.config = config
        self._ports = ports
        self._hold_fds = tuple(hold_fds)
        self._process: ManagedProcess | None = None
        self._archive_in_the_making: Path | None = None
        self._archive: Path | None = None
        self._archive_family = ""
        self._was_ready = False
        self.port = 0
        self.ssl_port = 0
        self._internal_port = 0

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients; valid after `start`. With security, of the listener for passwords."""
        return f"{LOOPBACK}:{self.config.client_port or self.port}"

    @property
    def ssl_bootstrap(self) -> str | None:
        """``host:port`` for clients with a certificate; None without security."""
        return f"{LOOPBACK}:{self.ssl_port}" if self.config.security else None

    @property
    def process(self) -> ManagedProcess | None:
        return self._process

    @property
    def log_path(self) -> Path:
        return self.config.folder / "logs" / "kafka.log"

    def start(
        self,
        on_progress: Callable[[str], None] = lambda _: None,
        cancel: threading.Event | None = None,
        *,
        wait: bool = True,
    ) -> None:
        """Returns when the broker answers a metadata request (``wait=False``: when it is spawned, for the
        first nodes of a larger quorum; call `wait_until_ready` then). Raises EmbeddedStackError."""
        java = find_java()
        jars = kafka_jars(self.config.version, on_progress)
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._spawn(java, jars, cancel)
                if wait:
                    self.wait_until_ready(cancel)
                return
            except ComponentFailed as error:
                self.stop()
                if not error.address_in_use or attempt == PORT_ATTEMPTS:
                    raise
                self._ports.forget(*self._port_names())

    def wait_until_ready(self, cancel: threading.Event | None = None) -> None:
        if self._process is None:
            raise ComponentFailed(self.name, "is not started")
        self._process.wait_until_ready(lambda: self.brokers_known() > 0, READY_TIMEOUT_S, cancel)
        self._was_ready = True

    def brokers_known(self) -> int:
        """How many brokers the node names as alive, itself included; 0 when it does not answer."""
        security = self.config.security
        if security is None:
            return _brokers_known(self.port, None)
        return _brokers_known(self.ssl_port, security.probe_context())

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Clean shutdown (SIGTERM), SIGKILL after the deadline. Idempotent."""
        if self._process is None:
            return
        self._process.stop(deadline_s)
        made = self._archive_in_the_making
        if made is not None and self._archive is not None and made.exists():
            # Complete only when the JVM ended by itself (143: by SIGTERM, after its exit hooks), and worth
            # keeping only when it had loaded everything.
            if self._was_ready and self._process.exit_status in (0, 143):
                for outdated in self._archive.parent.glob(f"{self._archive_family}*.jsa"):
                    outdated.unlink(missing_ok=True)  # 50 MB each; a JVM that maps one keeps it
                _publish(made, self._archive)
            made.unlink()

    def _port_names(self) -> tuple[str, str, str, str]:
        name = f"kafka-{self.config.node_id}"
        return name, f"{name}-controller", f"{name}-ssl", f"{name}-internal"

    def _spawn(self, java: Java, jars: KafkaJars, cancel: threading.Event | None) -> None:
        config = self.config
        client_name, controller_name, ssl_name, internal_name = self._port_names()
        self.port = self._ports.port_for(client_name, config.port)
        controller_port = self._ports.port_for(controller_name, config.controller_port)
        if config.security:
            self.ssl_port = self._ports.port_for(ssl_name)
        if config.client_port:
            self._internal_port = self._ports.port_for(internal_name)
        for folder in ("data", "logs", "tmp"):
            (config.folder / folder).mkdir(parents=True, exist_ok=True)
        # Codecs unpack their native libraries here; a killed broker leaves them behind.
        shutil.rmtree(config.folder / "tmp")
        (config.folder / "tmp").mkdir()
        properties = config.folder / "server.properties"
        write_atomically(properties, self._server_properties(controller_port))
        log4j = config.folder / "log4j2.properties"
        write_atomically(log4j, _LOG4J.format(path=self.log_path, size=LOG_FILE_SIZE))
        if self.log_path.exists():  # only lines of this start may explain why it failed
            self.log_path.replace(self.log_path.with_name("kafka.previous.log"))
        launch = [
            str(java.launcher),
            f"-Xmx{config.heap_mb}m",
            f"-Xms{config.heap_mb // 2}m",
            # The smallest and, with half a gigabyte on two cores, also the least disturbing collector.
            "-XX:+UseSerialGC",
            # C1 only: starts 25 % faster with 40 % less CPU; a laptop's rates do not need C2.
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Djava.awt.headless=true",
            f"-Djava.io.tmpdir={config.folder / 'tmp'}",
            f"-Dlog4j2.configurationFile={log4j.as_uri()}",
            *_quieting_options(java),
        ]
        self._format_storage(launch, jars, properties, cancel)
        self._process = ManagedProcess(
            self.name,
            [
                *launch,
                *self._archive_options(java, jars),
                "-cp",
                jars.class_path,
                "kafka.Kafka",
                str(properties),
            ],
            config.folder / "logs" / "kafka.out",
            env=_JAVA_ENV,
            cwd=config.folder,
            grace_s=STOP_DEADLINE_S,
            own_log=self.log_path,
            hold_fds=self._hold_fds,
        )
        self._process.start()

    def _server_properties(self, controller_port: int) -> str:
        config = self.config
        voters = config.voters or (Voter(node_id=config.node_id, port=controller_port),)
        replication = str(config.replication)
        in_sync = str(max(1, config.replication - 1))
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(config.node_id),
            "controller.quorum.voters": ",".join(f"{v.node_id}@{LOOPBACK}:{v.port}" for v in voters),
            **self._listeners(controller_port),
            "log.dirs": str(config.folder / "data"),
            # A mistyped topic name must be an error, not a topic with one partition.
            "auto.create.topics.enable": "false",
            "default.replication.factor": replication,
            "offsets.topic.replication.factor": replication,
            "offsets.topic.num.partitions": str(OFFSETS_PARTITIONS),
            "transaction.state.log.replication.factor": replication,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": str(TRANSACTION_PARTITIONS),
            "share.coordinator.state.topic.replication.factor": replication,
            "share.coordinator.state.topic.min.isr": in_sync,
            "share.coordinator.state.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": str(BROKER_SESSION_MS),
            "broker.heartbeat.interval.ms": str(BROKER_SESSION_MS // 6),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            **dict(config.extra_properties),
        }
        return "".join(f"{key}={_escaped(value)}\n" for key, value in properties.items())

    def _listeners(self, controller_port: int) -> dict[str, str]:
        security = self.config.security
        told = {}
        between_brokers = "PLAINTEXT"
        if security is None:
            for_clients = {"PLAINTEXT": self.port}
            protocols = {"PLAINTEXT": "PLAINTEXT", CONTROLLER_LISTENER: "PLAINTEXT"}
            if self.config.client_port:
                # The broker's calls to itself go past the relay, as they would past a cut network.
                for_clients[between_brokers := "INTERNAL"] = self._internal_port
                protocols["INTERNAL"] = "PLAINTEXT"
                told["PLAINTEXT"] = self.config.client_port
        else:
            for_clients = {SASL_LISTENER: self.port, SSL_LISTENER: self.ssl_port}
            protocols = {SASL_LISTENER: "SASL_SSL", SSL_LISTENER: "SSL", CONTROLLER_LISTENER: "SSL"}
        addresses = [f"{name}://{LOOPBACK}:{port}" for name, port in for_clients.items()]
        advertised = [f"{name}://{LOOPBACK}:{port}" for name, port in (for_clients | told).items()]
        return {
            "listeners": ",".join([*addresses, f"{CONTROLLER_LISTENER}://{LOOPBACK}:{controller_port}"]),
            "advertised.listeners": ",".join(advertised),
            "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in protocols.items()),
            "controller.listener.names": CONTROLLER_LISTENER,
            **(security.properties() if security else {"inter.broker.listener.name": between_brokers}),
        }

    def _format_storage(
        self, launch: list[str], jars: KafkaJars, properties: Path, cancel: threading.Event | None
    ) -> None:
        """Gives a new data folder its ids. The first format of a Kafka version runs Kafka's own tool (2 s);
        its bootstrap record holds no ids, so later folders get a copy of it."""
        data = self.config.folder / "data"
        meta = data / "meta.properties"
        if meta.exists():
            return
        cluster_id = self.config.cluster_id or new_cluster_id()
        template = jars.cache_dir / f"kafka-{jars.version}.bootstrap.checkpoint"
        if template.exists():
            shutil.copyfile(template, data / "bootstrap.checkpoint")
            write_atomically(
                meta,
                f"version=1\ncluster.id={cluster_id}\nnode.id={self.config.node_id}\n"
                f"directory.id={new_cluster_id()}\n",
            )
            return
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
        process = ManagedProcess(
            "kafka (format)",
            [*launch, "-cp", jars.class_path, *tool],
            self.config.folder / "logs" / "format.out",
            env=_JAVA_ENV,
            cwd=self.config.folder,
            hold_fds=self._hold_fds,
        )
        try:
            process.run_to_end(FORMAT_TIMEOUT_S, cancel)
        except EmbeddedStackError:
            shutil.rmtree(data)  # half a format would be taken for a whole one
            raise
        _publish(data / "bootstrap.checkpoint", template)

    def _archive_options(self, java: Java, jars: KafkaJars) -> list[str]:
        """JVM options that halve the start by sharing parsed classes between runs. The archive is written
        when the first broker of this Java and Kafka stops; the JVM ignores one that does not fit."""
        self._archive = self._archive_in_the_making = None
        self._was_ready = False
        if not java.can_share_classes:
            return []
        runtime = uuid.uuid5(uuid.NAMESPACE_URL, f"{java.launcher.resolve()} {java.major}").hex[:8]
        self._archive_family = f"kafka-{jars.version}-{runtime}-"
        archive = jars.cache_dir / f"{self._archive_family}{jars.fingerprint}.jsa"
        if archive.exists():
            return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]
        self._archive = archive
        self._archive_in_the_making = self.config.folder / "tmp" / "classes.jsa"
        return [
            f"-XX:ArchiveClassesAtExit={self._archive_in_the_making}",
            "-Xlog:cds=off",
            "-Xlog:cds+dynamic=off",
        ]


def _publish(source: Path, target: Path) -> None:
    """Copies a file into the shared cache in one step; the folders may be on different disks."""
    copy = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, copy)
    os.replace(copy, target)


# Options meant for other programs of the user must not reach this JVM.
_JAVA_ENV: dict[str, str | None] = {"JAVA_TOOL_OPTIONS": None, "JDK_JAVA_OPTIONS": None, "CLASSPATH": None}


def _quieting_options(java: Java) -> list[str]:
    """Newer runtimes warn about what Kafka's libraries do on purpose."""
    options = []
    if java.major >= 23:
        options.append("--sun-misc-unsafe-memory-access=allow")
    if java.major >= 22:
        options.append("--enable-native-access=ALL-UNNAMED")
    return options


def _escaped(value: str) -> str:
    """For a Java properties file: backslashes, and other scripts in a folder's name (read as Latin-1)."""
    return value.replace("\\", "\\\\").encode("ascii", "backslashreplace").decode().replace("\\x", "\\u00")


def _brokers_known(port: int, tls: ssl.SSLContext | None) -> int:
    """How many brokers the node names in answer to a metadata request; 0 when it does not answer yet.

    Spoken by hand because Kafka clients live in `vnpulse.kafka` only. Request: api key 3, version 4, no
    topics. A listening socket alone says too little: the controller may not have registered the broker.
    """
    header = struct.pack(">hhih", 3, 4, 1, -1)
    body = header + struct.pack(">i?", 0, False)
    try:
        with ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_S))
            if tls is not None:
                connection = opened.enter_context(tls.wrap_socket(connection, server_hostname=LOOPBACK))
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = b""
            while len(answer) < 16:
                part = connection.recv(1024)
                if not part:
                    return 0
                answer += part
    except OSError:
        return 0
    # size, correlation id, throttle time, number of brokers
    return int(struct.unpack(">iiii", answer[:16])[3])
