"""What can be configured: one frozen tree, read from YAML, secrets from the environment.

Either ``embedded`` is given and vnpulse starts its own Kafka, MongoDB wire server and Ray, or
the addresses of existing ones are. The rest is the same, so the same code runs on both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from vnpulse.aggregation.settings import AggregationSettings
from vnpulse.collection.settings import CollectionSettings
from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.errors import SettingsError
from vnpulse.kafka_profiles import DEFAULT_PROFILE, load_profiles
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.serialization.settings import SerializationSettings
from vnpulse.streaming.retries import RetrySettings
from vnpulse.strict_model import FilePath, StrictModel
from vnpulse.technical.settings import TechnicalSettings

DEFAULT_CONFIG = CONFIG_DIR / "local.yaml"

SECRETS_FROM_ENVIRONMENT = {
    "MONGODB_URI": "store.uri",
    "KAFKA_USERNAME": "kafka.security.username",
    "KAFKA_PASSWORD": "kafka.security.password",
    "KAFKA_PASSWORD_FILE": "kafka.security.password_file",
    "KAFKA_KEY_PASSWORD": "kafka.security.key_password",
    "KAFKA_KEY_PASSWORD_FILE": "kafka.security.key_password_file",
    "SECOND_READER_API_KEY": "sentiment.second_reader.api_key",
    "SCHEMA_REGISTRY_URL": "serialization.registry.url",
    "SCHEMA_REGISTRY_USERNAME": "serialization.registry.username",
    "SCHEMA_REGISTRY_PASSWORD": "serialization.registry.password",
}
"""Environment variables and the setting that each one fills."""

_Tuning = TypeVar("_Tuning", "ConsumerTuning", "ProducerTuning")

Port = Annotated[int, Field(ge=1, le=65_535)]


class EmbeddedSettings(StrictModel):
    """The stack that ``vnpulse up`` brings along. Ports are free ones unless named."""

    state_dir: FilePath = Field(default_factory=lambda: Path(".vnpulse").absolute())
    kafka_port: Port | None = None
    kafka_heap_mb: Annotated[int, Field(ge=128, le=65_536)] = 512
    kafka_security: FilePath | None = None
    """A folder of `vnpulse security trial`: Kafka then speaks TLS only, and asks who may do what."""
    mongo_port: Port | None = None
    mongo_cache_mb: Annotated[int, Field(ge=32, le=65_536)] = 256
    ray_dashboard_port: Port | None = None
    ray_cpus: Annotated[int, Field(ge=1, le=1_024)] = 8
    """Logical CPUs: our actors ask for a fraction each, whatever the machine has."""
    ray_object_store_mb: Annotated[int, Field(ge=80, le=1_000_000)] = 100


class KafkaSecurity(StrictModel):
    """How to authenticate. A password is never in the configuration: the environment or a file has it.

    A file is read again for every new client, so a rotated password needs no restart.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: FilePath | None = None
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    key_password: SecretStr | None = None
    key_password_file: FilePath | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        has_password = self.password or self.password_file
        if self.protocol.startswith("SASL") and not (self.mechanism and self.username and has_password):
            raise ValueError(
                f"protocol {self.protocol} needs mechanism, username (or KAFKA_USERNAME) and"
                " KAFKA_PASSWORD or KAFKA_PASSWORD_FILE in the environment, or password_file"
            )
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file needs certificate_file")
        return self

    def read_password(self) -> SecretStr:
        """Return the user's password. Raises SettingsError if its file cannot be used."""
        assert self.password or self.password_file
        return self.password or _secret_in(self.password_file, "password_file")

    def read_key_password(self) -> SecretStr:
        """Return the password of the private key, empty if none is configured. Raises SettingsError."""
        if self.key_password is None and self.key_password_file is None:
            return SecretStr("")
        return self.key_password or _secret_in(self.key_password_file, "key_password_file")


def _secret_in(path: Path | None, setting: str) -> SecretStr:
    assert path is not None
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SettingsError(f"kafka.security.{setting}: {path}: {reason}") from None
    if not text:
        raise SettingsError(f"kafka.security.{setting}: {path}: is empty")
    return SecretStr(text)


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


class ConsumerOverrides(StrictModel):
    """What one pipeline has otherwise than ``kafka.consumer``; see there."""

    max_poll_records: Annotated[int | None, Field(ge=1, le=100_000)] = None
    fetch_min_bytes: Annotated[int | None, Field(ge=1)] = None
    fetch_max_wait_ms: Annotated[int | None, Field(ge=1, le=60_000)] = None
    auto_offset_reset: Literal["earliest", "latest"] | None = None
    session_timeout_ms: Annotated[int | None, Field(ge=6_000, le=1_800_000)] = None
    heartbeat_interval_ms: Annotated[int | None, Field(ge=100)] = None


PipelineName = Literal["storage", "analysis", "aggregation", "notification"]


class ProducerTuning(StrictModel):
    """Producer settings of the design document; configs/kafka_profiles.yaml has the reason of each."""

    acks: Literal["all", 1, 0] = "all"
    retries: Annotated[int, Field(ge=0)] = 3
    batch_size: Annotated[int, Field(ge=0, le=16_777_216)] = 16_384
    linger_ms: Annotated[int, Field(ge=0, le=60_000)] = 10
    request_timeout_ms: Annotated[int, Field(ge=1_000)] = 30_000
    delivery_timeout_ms: Annotated[int, Field(ge=1_000)] = 120_000
    buffer_memory: Annotated[int, Field(ge=65_536)] = 33_554_432
    """Most bytes that are queued and not acknowledged; more waits. Kept by us: kafka-python 3 does not."""
    max_in_flight_requests_per_connection: Annotated[int, Field(ge=1, le=5)] = 5
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] | None = None
    """For all topics; without it each has that of configs/topics.yaml."""

    @property
    def idempotent(self) -> bool:
        """Whether a batch that is sent twice is written once: Kafka wants acks=all and retries for that."""
        return self.acks == "all" and self.retries > 0

    @model_validator(mode="after")
    def _one_request_fits(self) -> Self:
        if self.delivery_timeout_ms <= self.linger_ms + self.request_timeout_ms:
            raise ValueError("delivery_timeout_ms must be above linger_ms + request_timeout_ms")
        return self


def _filled(tuning: _Tuning, values: Mapping[str, int | str]) -> _Tuning:
    """Return ``tuning`` with ``values`` for what it was not given."""
    given = {name: getattr(tuning, name) for name in tuning.model_fields_set}
    try:
        return type(tuning).model_validate({**values, **given})
    except ValidationError as error:
        raise ValueError("; ".join(item["msg"] for item in error.errors())) from None


class KafkaSettings(StrictModel):
    """The broker, and the names of topics and groups on it."""

    bootstrap_servers: tuple[str, ...] = ()
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,60}$")] = ""
    """Put before every topic and group name, so that deployments can share a cluster."""
    security: KafkaSecurity = KafkaSecurity()
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """The library of the pipelines' consumers and producers; confluent is the faster one."""
    profile: str = DEFAULT_PROFILE
    """Of configs/kafka_profiles.yaml; what is given under ``producer`` and ``consumer`` goes before it."""
    consumer: ConsumerTuning = ConsumerTuning()
    pipelines: dict[PipelineName, ConsumerOverrides] = Field(default_factory=dict)
    """By pipeline, what its consumers have otherwise than ``consumer``."""
    producer: ProducerTuning = ProducerTuning()
    transactions: bool = True
    """Whether results and alerts are written in transactions with the offsets that caused them."""
    retry: RetrySettings = RetrySettings()

    @model_validator(mode="after")
    def _pipelines_are_sound(self) -> Self:
        for name in self.pipelines:
            self.consumer_of(name)
        return self

    def consumer_of(self, pipeline: PipelineName) -> ConsumerTuning:
        """Return the consumer settings of ``pipeline``."""
        overrides = self.pipelines.get(pipeline, ConsumerOverrides())
        return ConsumerTuning(**(self.consumer.model_dump() | overrides.model_dump(exclude_none=True)))

    @field_validator("profile")
    @classmethod
    def _profile_exists(cls, name: str) -> str:
        if name not in (known := load_profiles()):
            raise ValueError(f"no such profile; there are {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _fill_from_profile(self) -> Self:
        values = load_profiles()[self.profile].values()
        # Frozen is for those who use the settings; here they are still being made.
        object.__setattr__(self, "consumer", _filled(self.consumer, values["consumer"]))
        object.__setattr__(self, "producer", _filled(self.producer, values["producer"]))
        return self

    @model_validator(mode="after")
    def _transactions_are_idempotent(self) -> Self:
        if self.transactions and not self.producer.idempotent:
            raise ValueError(
                "transactions need producer.acks all and producer.retries above 0;"
                " give transactions: false to go without them"
            )
        return self

    def tuned(self, profile: str) -> KafkaSettings:
        """Return the same broker with the tuning of ``profile`` and nothing else."""
        of_profile = KafkaSettings(profile=profile, transactions=False)
        return self.model_copy(
            update={"profile": profile, "producer": of_profile.producer, "consumer": of_profile.consumer}
        )

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


class AutoscaleSettings(StrictModel):
    """Up to how many shards an analyzer may get by itself, and when."""

    max: Annotated[int, Field(ge=1, le=10_000)]
    behind_s: Annotated[float, Field(ge=0.1, le=86_400)] = 10.0
    """One more when the oldest trigger in hand stays older than this."""
    calm_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """One fewer after so long without need."""


class AnalyzerPlacement(NodePlacement):
    """How many shards an analyzer has, at least where it scales by itself, and what each asks of its node."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 1
    autoscale: AutoscaleSettings | None = None
    num_gpus: Annotated[float, Field(ge=0, le=64)] = 0

    @model_validator(mode="after")
    def _scales_upwards(self) -> Self:
        if self.autoscale is not None and self.autoscale.max < self.shards:
            raise ValueError(
                f"autoscale.max was {self.autoscale.max}, must be at least shards, {self.shards}"
            )
        return self


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
    serialization: SerializationSettings = SerializationSettings()
    store: StoreSettings = StoreSettings()
    ray: RaySettings = RaySettings()
    placement: PlacementSettings = PlacementSettings()
    technical: TechnicalSettings = TechnicalSettings()
    sentiment: SentimentSettings = SentimentSettings()
    aggregation: AggregationSettings = AggregationSettings()
    collection: CollectionSettings = Field(default_factory=CollectionSettings)
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
        elif self.embedded.kafka_security and not self.kafka.security.protocol.endswith("SSL"):
            raise ValueError("embedded.kafka_security needs kafka.security.protocol SASL_SSL or SSL")
        return self

    @model_validator(mode="after")
    def _gpu_is_asked_for(self) -> Self:
        """Ray hides the GPUs of a node from an actor that asks for none."""
        if self.technical.device == "cuda" and not self.placement.technical.num_gpus:
            raise ValueError("technical.device cuda needs placement.technical.num_gpus above 0")
        return self


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings at ``path``; relative paths in it are relative to the working directory.

    Raises SettingsError, one line for each mistake.
    """
    overrides = {
        key: environment[name] for name, key in SECRETS_FROM_ENVIRONMENT.items() if environment.get(name)
    }
    settings = load_model(path, Settings, overrides)
    security = settings.kafka.security
    for name, variable in (("password", "KAFKA_PASSWORD"), ("key_password", "KAFKA_KEY_PASSWORD")):
        if getattr(security, name) is not None and not environment.get(variable):
            raise SettingsError(
                f"{path}: kafka.security.{name}: does not belong into a configuration file:"
                f" use {variable} or {variable}_FILE in the environment, or {name}_file"
            )
    for name in ("ca_file", "certificate_file", "key_file", "password_file", "key_password_file"):
        file = getattr(security, name)
        if file is not None and not file.is_file():
            raise SettingsError(f"{path}: kafka.security.{name}: was {file}, no such file")
    registry = settings.serialization.registry
    if registry.password is not None and not environment.get("SCHEMA_REGISTRY_PASSWORD"):
        raise SettingsError(
            f"{path}: serialization.registry.password: does not belong into a configuration file:"
            " use SCHEMA_REGISTRY_PASSWORD in the environment"
        )
    if registry.ca_file is not None and not registry.ca_file.is_file():
        raise SettingsError(f"{path}: serialization.registry.ca_file: was {registry.ca_file}, no such file")
    return settings
