"""The tuning profiles: the specified values, what the settings file gives goes before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnpulse.errors import SettingsError
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.kafka.tuning import ConsumerTuning, ProducerTuning
from vnpulse.kafka_profiles import load_profiles
from vnpulse.settings import Settings, load_settings


def load(folder: Path, kafka: str) -> Settings:
    path = folder / "vnpulse.yaml"
    path.write_text(
        f"kafka: {{bootstrap_servers: ['k:1'], {kafka}}}\nstore: {{uri: m}}\nray: {{address: r}}\n"
    )
    return load_settings(path, {})


def test_the_default_profile_is_what_is_used_without_one() -> None:
    assert KafkaSettings() == KafkaSettings(profile="default")
    values = load_profiles()["default"].values()
    assert ConsumerTuning.model_validate(values["consumer"]) == ConsumerTuning() == KafkaSettings().consumer
    assert ProducerTuning.model_validate(values["producer"]) == ProducerTuning() == KafkaSettings().producer
    assert KafkaSettings().producer.idempotent


def test_high_throughput_has_the_values_of_the_design() -> None:
    producer = KafkaSettings(profile="high_throughput", transactions=False).producer
    assert (producer.acks, producer.retries, producer.compression) == (1, 0, "lz4")
    assert (producer.batch_size, producer.linger_ms, producer.buffer_memory) == (65_536, 50, 67_108_864)
    assert producer.max_in_flight_requests_per_connection == 5
    assert not producer.idempotent
    consumer = KafkaSettings(profile="high_throughput", transactions=False).consumer
    assert (consumer.max_poll_records, consumer.fetch_min_bytes, consumer.fetch_max_wait_ms) == (
        1_000,
        50_000,
        100,
    )
    assert (consumer.session_timeout_ms, consumer.auto_offset_reset) == (60_000, "latest")


@pytest.mark.parametrize("name", sorted(load_profiles()))
def test_every_setting_of_every_profile_exists_and_has_a_reason(name: str) -> None:
    profile = load_profiles()[name]
    settings = KafkaSettings(profile=name, transactions=False)
    for tuning, choices in ((settings.producer, profile.producer), (settings.consumer, profile.consumer)):
        for setting, choice in choices.items():
            assert getattr(tuning, setting) == choice.value
            assert len(choice.reason) > 5


def test_what_the_file_gives_goes_before_the_profile(tmp_path: Path) -> None:
    kafka = load(
        tmp_path, "profile: high_throughput, transactions: false, consumer: {auto_offset_reset: earliest}"
    ).kafka
    assert kafka.consumer.auto_offset_reset == "earliest"
    assert kafka.consumer.max_poll_records == 1_000
    assert kafka.producer == KafkaSettings(profile="high_throughput", transactions=False).producer


def test_another_profile_of_the_same_broker_keeps_everything_else() -> None:
    kafka = KafkaSettings(bootstrap_servers=("k:1",), topic_prefix="p.", client="confluent")
    tuned = kafka.tuned("low_latency")
    assert (tuned.bootstrap_servers, tuned.topic_prefix, tuned.client) == (("k:1",), "p.", "confluent")
    assert (tuned.producer.linger_ms, tuned.consumer.fetch_min_bytes) == (0, 1)


@pytest.mark.parametrize(
    ("kafka", "problem"),
    [
        (
            "profile: fast",
            'kafka.profile: was "fast", no such profile; there are default, high_throughput, low_latency',
        ),
        (
            "profile: high_throughput",
            "kafka: transactions need producer.acks all and producer.retries above 0;"
            " give transactions: false to go without them",
        ),
        ("producer: {acks: 2}", "kafka.producer.acks: was 2, Input should be 'all', 1 or 0"),
        (
            "profile: high_throughput, consumer: {heartbeat_interval_ms: 60000}",
            "kafka.consumer: heartbeat_interval_ms must be below session_timeout_ms",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, kafka: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, kafka)
    assert str(caught.value) == f"{tmp_path / 'vnpulse.yaml'}:1: {problem}"
