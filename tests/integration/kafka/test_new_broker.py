"""The first minute of a broker: its offsets topic does not exist before somebody asks about a group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vnpulse.embedded.settings import EmbeddedSettings
from vnpulse.embedded.stack import EmbeddedConfig, EmbeddedStack
from vnpulse.kafka.lags import LagReader
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.launcher import apply_topics
from vnpulse.settings import Settings


@pytest.fixture
def new_broker(tmp_path: Path) -> Iterator[Settings]:
    config = EmbeddedConfig(state_dir=tmp_path, with_ray=False, with_mongo=False)
    with EmbeddedStack(config) as stack:
        assert stack.addresses is not None
        kafka = KafkaSettings(bootstrap_servers=(stack.addresses.kafka_bootstrap or "",))
        yield Settings(embedded=EmbeddedSettings()).model_copy(update={"kafka": kafka})


def test_lag_can_be_asked_for_before_anybody_has_consumed(new_broker: Settings) -> None:
    apply_topics(new_broker)
    with LagReader(new_broker.kafka) as reader:
        rows = reader.read()
    assert len(rows) == 26
    assert {(row.committed, row.lag) for row in rows} == {(None, 0)}
