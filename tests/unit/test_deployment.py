from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from vnpulse.deployment import embedded_config, require_embedded, resolve, with_addresses
from vnpulse.embedded.errors import StackNotRunning
from vnpulse.embedded.settings import EmbeddedSettings
from vnpulse.embedded.stack import StackAddresses
from vnpulse.errors import UserError
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.placement import RaySettings
from vnpulse.settings import Settings
from vnpulse.store.settings import StoreSettings

PASSWORD = "s3cr3t-p4ss"
STORE = StoreSettings(uri=SecretStr(f"mongodb://alice:{PASSWORD}@db.example.org:27017/"))
EMBEDDED = EmbeddedSettings()

ADDRESSES = StackAddresses(
    owner_pid=1,
    started_at="2025-07-28T02:00:00Z",
    kafka_bootstrap="127.0.0.1:9092",
    mongo_uri="mongodb://127.0.0.1:27017/",
    ray_address="127.0.0.1:6379",
    ray_dashboard_url="http://127.0.0.1:8265",
)


def test_an_embedded_stack_may_use_another_store() -> None:
    assert embedded_config(Settings(embedded=EMBEDDED, store=STORE)).with_mongo is False
    assert embedded_config(Settings(embedded=EMBEDDED)).with_mongo is True


def test_an_embedded_stack_fills_in_its_addresses() -> None:
    settings = with_addresses(Settings(embedded=EMBEDDED, kafka=KafkaSettings(topic_prefix="t.")), ADDRESSES)
    assert settings.embedded is None
    assert settings.kafka.bootstrap_servers == ("127.0.0.1:9092",)
    assert settings.kafka.topic_prefix == "t."
    assert settings.store.uri.get_secret_value() == "mongodb://127.0.0.1:27017/"
    assert (settings.ray.address, settings.ray.dashboard_url) == ("127.0.0.1:6379", "http://127.0.0.1:8265")
    assert resolve(settings) is settings


def test_a_store_of_one_s_own_stays_although_the_stack_is_embedded() -> None:
    settings = with_addresses(Settings(embedded=EMBEDDED, store=STORE), ADDRESSES)
    assert settings.store == STORE
    assert PASSWORD not in repr(settings)


def test_an_existing_cluster_has_no_embedded_stack_to_act_on() -> None:
    kafka, ray = KafkaSettings(bootstrap_servers=("k:9092",)), RaySettings(address="auto")
    with pytest.raises(UserError, match="existing cluster"):
        require_embedded(Settings(kafka=kafka, ray=ray, store=STORE))


def test_without_a_running_stack_there_is_nothing_to_resolve(tmp_path: Path) -> None:
    with pytest.raises(StackNotRunning):
        resolve(Settings(embedded=EmbeddedSettings(state_dir=tmp_path / "none")))
