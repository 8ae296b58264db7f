"""``kafka.consumer`` and ``kafka.producer``: the numbers that clients of the broker are tuned with."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vnpulse.strict_model import StrictModel


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
