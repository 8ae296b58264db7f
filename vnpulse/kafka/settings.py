"""``kafka``: where the broker is and how it is used; with defaults from a profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from vnpulse.kafka.security import KafkaSecurity
from vnpulse.kafka.tuning import ConsumerOverrides, ConsumerTuning, ProducerTuning
from vnpulse.kafka_profiles import DEFAULT_PROFILE, load_profiles
from vnpulse.streaming.retries import RetrySettings
from vnpulse.strict_model import StrictModel

PipelineName = Literal["storage", "analysis", "aggregation", "notification"]

_Tuning = TypeVar("_Tuning", ConsumerTuning, ProducerTuning)


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
