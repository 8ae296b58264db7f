"""``embedded``: what is configured of the stack that ``vnpulse up`` brings along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from vnpulse.strict_model import FilePath, StrictModel

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
