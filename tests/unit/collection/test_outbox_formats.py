"""What leaves the outbox is in the format of its topic, and waits while that is not to be had."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.unit.collection.conftest import BrokerAtHand
from vnpulse.clock import ManualClock
from vnpulse.collection.outbox import Outbox
from vnpulse.errors import SchemaUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.messages import VIETNAM, AnalysisTrigger, Encode, PriceBar
from vnpulse.topics import PRICES, TRIGGERS

AT = dt.datetime(2025, 7, 28, 7, 30, tzinfo=VIETNAM)


def test_a_topic_s_format_is_applied_when_it_is_sent_and_nothing_is_lost_meanwhile(
    broker: BrokerAtHand, clock: ManualClock
) -> None:
    away = [True]

    def from_json(topic: str) -> Encode:
        def write(value: bytes) -> bytes:
            if away[0]:
                raise SchemaUnavailable("the registry is away")
            return b"\0" + value

        return write if topic == PRICES else bytes

    outbox = Outbox(broker, DeadLetters(PlainOutputs(broker), "test"), KafkaSettings(), clock, from_json)  # type: ignore[arg-type]
    outbox.triggers([AnalysisTrigger("t", "VCB", "scheduled", AT)])
    assert outbox.bars([PriceBar("VCB", AT, 1, 1, 1, 1, 1, AT)]) == 1
    with pytest.raises(SchemaUnavailable):
        outbox.flush()
    assert broker.log == []
    away[0] = False
    outbox.flush()
    outbox.flush()
    assert [(topic, value[:1]) for topic, _, value, _ in broker.log] == [(TRIGGERS, b"{"), (PRICES, b"\0")]
