"""Which topics are written in Avro, and where its schemas are registered."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from vnpulse.strict_model import FilePath, StrictModel

Format = Literal["json", "avro"]
Topic = Literal["stock_prices_raw", "stock_news_raw", "analysis_triggers", "analysis_results", "alerts"]


class RegistrySettings(StrictModel):
    """A schema registry with Confluent's API. User name and password come from the environment only.

    ``url`` may name several, separated by commas; they are tried in order.
    """

    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: FilePath | None = None
    timeout_s: Annotated[float, Field(gt=0, le=300)] = 10

    @property
    def urls(self) -> list[str]:
        """The addresses one by one."""
        return [url.strip() for url in (self.url or "").split(",")]

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        # Rules of the section, not of the key: a message about a key would show its value.
        if self.url is not None:
            for url in map(urlsplit, self.urls):
                if url.scheme not in ("http", "https") or not url.hostname:
                    raise ValueError("url must begin with http:// or https:// and name a host")
                if url.username or url.password:
                    raise ValueError(
                        "url must not hold a password; give SCHEMA_REGISTRY_USERNAME and"
                        " SCHEMA_REGISTRY_PASSWORD in the environment"
                    )
        if (self.username is None) != (self.password is None):
            raise ValueError(
                "SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD are needed together in the environment"
            )
        return self


class SerializationSettings(StrictModel):
    """How messages are written. What is read says itself what it is, whatever stands here."""

    formats: dict[Topic, Format] = Field(default_factory=dict)
    """By topic; json where nothing is said."""
    registry: RegistrySettings = RegistrySettings()

    @model_validator(mode="after")
    def _avro_has_a_registry(self) -> Self:
        if "avro" in self.formats.values() and self.registry.url is None:
            raise ValueError("format avro needs registry.url (or SCHEMA_REGISTRY_URL in the environment)")
        return self
