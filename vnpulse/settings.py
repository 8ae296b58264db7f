"""What can be configured: one frozen tree, read from YAML, secrets from the environment.

Either ``embedded`` is given and vnpulse starts its own Kafka, MongoDB wire server and Ray, or
the addresses of existing ones are. The rest is the same, so the same code runs on both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from vnpulse.aggregation.settings import AggregationSettings
from vnpulse.collection.settings import CollectionSettings
from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.embedded.settings import EmbeddedSettings
from vnpulse.errors import SettingsError
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.notification.settings import Channel, ConsoleChannel
from vnpulse.placement import PlacementSettings, RaySettings
from vnpulse.sentiment.settings import SentimentSettings
from vnpulse.serialization.settings import SerializationSettings
from vnpulse.store.settings import StoreSettings
from vnpulse.strict_model import StrictModel
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
