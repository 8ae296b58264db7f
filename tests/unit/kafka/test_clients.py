"""Which library's clients are made."""

from __future__ import annotations

import sys

import pytest

from vnpulse.errors import SettingsError
from vnpulse.kafka.clients import open_consumer, open_producer
from vnpulse.settings import KafkaSettings

OURS = (
    "vnpulse.kafka.confluent_connection",
    "vnpulse.kafka.confluent_consumer",
    "vnpulse.kafka.confluent_producer",
)


def test_without_the_extra_that_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    for module in OURS:
        monkeypatch.delitem(sys.modules, module, raising=False)
    settings = KafkaSettings(bootstrap_servers=("k:1",), client="confluent")
    with pytest.raises(SettingsError, match=r"confluent is not installed here: .*vnpulse\[confluent\]"):
        open_consumer(settings, "alerts", [0], None, "test")
    with pytest.raises(SettingsError, match="not installed"):
        open_producer(settings, {}, "test")
