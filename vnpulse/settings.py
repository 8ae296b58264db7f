"""What can be configured: one frozen tree, read from YAML, secrets from the environment.

Either ``embedded`` is given and vnpulse starts its own Kafka, MongoDB wire server and Ray, or
the addresses of existing ones are. The rest is the same, so the same code runs on both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from vnpulse.aggregation.settings import AggregationSettings
from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.errors import SettingsError
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.strict_model import FilePath, StrictModel
from vnpulse.technical.settings import TechnicalSettings

DEFAULT_CONFIG = CONFIG_DIR / "local.yaml"

SECRETS_FROM_ENVIRONMENT = {
    "MONGODB_URI": "store.uri",
    "KAFKA_USERNAME": "kafka.security.username",
    "KAFKA_PASSWORD": "kafka.security.password",
    "SECOND_READER_API_KEY": "sentiment.second_reader.api_key",
}
"""Environment variables and the setting that each one fills."""

Port = Annotated[int, Field(ge=1, le=65_535)]


class EmbeddedSettings(StrictModel):
    """The stack that ``vnpulse up`` brings along. Ports are free ones unless named."""

    state_dir: FilePath = Field(default_factory=lambda: Path(".vnpulse").absolute())
    kafka_port: Port | None = None
    kafka_heap_mb: Annotated[int, Field(ge=128, le=65_536)] = 512
    mongo_port: Port | None = None
    mongo_cache_mb: Annotated[int, Field(ge=32, le=65_536)] = 256
    ray_dashboard_port: Port | None = None
    ray_cpus: Annotated[int, Field(ge=1, le=1_024)] = 8
    """Logical CPUs: our actors ask for a fraction each, whatever the machine has."""
    ray_object_store_mb: Annotated[int, Field(ge=80, le=1_000_000)] = 100


class KafkaSecurity(StrictModel):
    """How to authenticate. User name and password come from the environment only."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.protocol.startswith("SASL") and not (self.mechanism and self.username and self.password):
            raise ValueError(
                f"protocol {self.protocol} needs mechanism, and KAFKA_USERNAME and KAFKA_PASSWORD"
                " in the environment"
            )
        return self


class ConsumerTuning(StrictModel):
    """Consumer settings of the design document; see docs/operations.md for the reason of each."""

    max_poll_records: Annotated[int, Field(ge=1, le=100_000)] = 100
    fetch_min_bytes: Annotated[int, Field(ge=1)] = 1_024
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=60_000)] = 500
    auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    session_timeout_ms: Annotated[int, Field(ge=6_000, le=1_800_000)] = 30_000
    heartbeat_interval_ms: Annotated[int, Field(ge=100)] = 10_000

    @model_validator(mode="after")
    def _heart_beats_in_time(self) -> Self:
        if self.heartbeat_interval_ms >= self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be below session_timeout_ms")
        return self


class ProducerTuning(StrictModel):
    """Producer settings of the design document. ``acks`` is always all and writes are idempotent."""

    retries: Annotated[int, Field(ge=0)] = 3
    batch_size: Annotated[int, Field(ge=0, le=16_777_216)] = 16_384
    linger_ms: Annotated[int, Field(ge=0, le=60_000)] = 10
    delivery_timeout_ms: Annotated[int, Field(ge=1_000)] = 120_000
    buffer_memory: Annotated[int, Field(ge=65_536)] = 33_554_432
    """Most bytes that are queued and not acknowledged; more waits. Kept by us: kafka-python 3 does not."""


class KafkaSettings(StrictModel):
    """The broker, and the names of topics and groups on it."""

    bootstrap_servers: tuple[str, ...] = ()
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,60}$")] = ""
    """Put before every topic and group name, so that deployments can share a cluster."""
    security: KafkaSecurity = KafkaSecurity()
    consumer: ConsumerTuning = ConsumerTuning()
    producer: ProducerTuning = ProducerTuning()

    def topic(self, name: str) -> str:
        """Return the topic's name on the cluster."""
        return self.topic_prefix + name

    def group(self, name: str) -> str:
        """Return the consumer group's name on the cluster."""
        return self.topic_prefix + name


class StoreSettings(StrictModel):
    """The document store. ``uri`` may hold a password, so it comes from MONGODB_URI or a file."""

    uri: SecretStr | None = None
    database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "vnpulse"


class RaySettings(StrictModel):
    """The Ray cluster. ``address`` is host:port of its GCS, or "auto" inside a job."""

    address: str | None = None
    dashboard_url: str | None = None
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")] = "vnpulse"


RESOURCES_OF_RAY = frozenset({"CPU", "GPU", "memory", "object_store_memory"})
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"([A-Za-z0-9.-]+/)?{_LABEL}")
_LABEL_SELECTOR = re.compile(rf"!?({_LABEL}|in\({_LABEL}(, ?{_LABEL})*\))")


class NodePlacement(StrictModel):
    """What an actor asks of the node that it runs on, in Ray's terms."""

    num_cpus: Annotated[float, Field(ge=0, le=1_024)] = 0.1
    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Custom resources that the node must have, such as {"nvme": 1}."""
    node_labels: dict[str, str] = Field(default_factory=dict)
    """Labels that the node must have, such as {"ray.io/market-type": "!spot"}; see Ray's label selectors."""

    @model_validator(mode="after")
    def _ray_takes_it(self) -> Self:
        """Ray would find a mistake only when the actor is made, again and again."""
        for name in RESOURCES_OF_RAY & self.resources.keys():
            raise ValueError(f"resources: {name} is Ray's own; use num_cpus or num_gpus")
        for key, wanted in self.node_labels.items():
            if not (_LABEL_KEY.fullmatch(key) and _LABEL_SELECTOR.fullmatch(wanted)):
                raise ValueError(
                    f'node_labels: was {key}: "{wanted}", must be like spot, "!spot", in(a, b) or "!in(a, b)"'
                )
        return self


class SupervisorPlacement(NodePlacement):
    """The supervisor's: a node that does not go away by itself."""

    num_cpus: Annotated[float, Field(ge=0, le=1_024)] = 0.0


class ConsumerPlacement(NodePlacement):
    """How one topic's partitions are spread over actors, and what each asks of its node."""

    hosts: Annotated[int, Field(ge=1, le=10_000)] = 1
    spread: bool = True
    """Over as many nodes as there are, so that the loss of one takes few partitions along."""


class AnalyzerPlacement(NodePlacement):
    """How many shards an analyzer has, and what each asks of its node."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 1
    num_gpus: Annotated[float, Field(ge=0, le=64)] = 0


class PlacementSettings(StrictModel):
    """One entry for each kind of actor."""

    supervisor: SupervisorPlacement = SupervisorPlacement()
    prices: ConsumerPlacement = ConsumerPlacement()
    news: ConsumerPlacement = ConsumerPlacement()
    analysis: ConsumerPlacement = ConsumerPlacement()
    aggregation: ConsumerPlacement = ConsumerPlacement()
    notification: ConsumerPlacement = ConsumerPlacement()
    technical: AnalyzerPlacement = AnalyzerPlacement()
    sentiment: AnalyzerPlacement = AnalyzerPlacement()

    def scaled(self, counts: Mapping[str, int]) -> PlacementSettings:
        """Return a copy with other numbers of hosts or shards, by the name of the placement."""
        changed = {}
        for name, count in counts.items():
            placement = getattr(self, name)
            field = "hosts" if isinstance(placement, ConsumerPlacement) else "shards"
            changed[name] = placement.model_copy(update={field: count})
        return self.model_copy(update=changed)


class ConsoleChannel(StrictModel):
    """Alerts as lines on the pipeline's standard output."""

    kind: Literal["console"]


class JsonLinesChannel(StrictModel):
    """Alerts appended to a file, one JSON object a line, on the machine where the actor runs."""

    kind: Literal["jsonl"]
    path: FilePath


Channel = Annotated[ConsoleChannel | JsonLinesChannel, Field(discriminator="kind")]


class Settings(StrictModel):
    """Everything. See configs/local.yaml for a commented example."""

    embedded: EmbeddedSettings | None = None
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    ray: RaySettings = RaySettings()
    placement: PlacementSettings = PlacementSettings()
    technical: TechnicalSettings = TechnicalSettings()
    sentiment: SentimentSettings = SentimentSettings()
    aggregation: AggregationSettings = AggregationSettings()
    channels: tuple[Channel, ...] = (ConsoleChannel(kind="console"),)

    def scaled(self, counts: Mapping[str, int]) -> Settings:
        """Return a copy whose placements have other numbers of hosts or shards."""
        return self.model_copy(update={"placement": self.placement.scaled(counts)})

    @model_validator(mode="after")
    def _has_addresses(self) -> Self:
        if self.embedded is None:
            missing = [
                name
                for name, value in (
                    ("kafka.bootstrap_servers", self.kafka.bootstrap_servers),
                    ("store.uri (or MONGODB_URI)", self.store.uri),
                    ("ray.address", self.ray.address),
                )
                if not value
            ]
            if missing:
                raise ValueError(f"without an embedded section these must be given: {', '.join(missing)}")
        elif self.kafka.bootstrap_servers or self.ray.address:
            raise ValueError(
                "embedded starts its own Kafka and Ray; remove it, or kafka.bootstrap_servers and ray.address"
            )
        return self


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings at ``path``; relative paths in it are relative to the working directory.

    Raises SettingsError, one line for each mistake.
    """
    overrides = {
        key: environment[name] for name, key in SECRETS_FROM_ENVIRONMENT.items() if environment.get(name)
    }
    settings = load_model(path, Settings, overrides)
    for name in ("ca_file", "certificate_file", "key_file"):
        file = getattr(settings.kafka.security, name)
        if file is not None and not file.is_file():
            raise SettingsError(f"{path}: kafka.security.{name}: was {file}, no such file")
    return settings
