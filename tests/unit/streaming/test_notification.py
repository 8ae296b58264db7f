from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest

from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import VIETNAM, Alert, AlertData, encode
from vnpulse.streaming.notification import AlertHandler

ALERTS = "alerts"
AT = dt.datetime(2025, 7, 28, 10, 5, tzinfo=VIETNAM)


def alert(alert_id: str, minute: int = 0) -> Alert:
    at = AT + dt.timedelta(minutes=minute)
    return Alert(alert_id, "FPT", "buy_signal", "high", at, "m", AlertData(0.7, "BUY", 92.0))


class Channel:
    """Keeps what it was sent; fails while ``errors`` last."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[str] = []
        self.errors: list[Exception] = []

    def send(self, alerts: Sequence[Alert]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent += [alert.alert_id for alert in alerts]


@pytest.fixture
def channels() -> list[Channel]:
    return [Channel("console"), Channel("file")]


@pytest.fixture
def handler(channels: list[Channel], outputs: Any) -> AlertHandler:
    return AlertHandler(channels, DeadLetters(outputs, "test"))


def test_every_channel_gets_every_alert_in_order_of_time(
    handler: AlertHandler, channels: list[Channel], records: Any
) -> None:
    reached = handler.handle(
        [
            records([encode(alert("late", 9)), encode(alert("early", 1))], ALERTS, 0, 5),
            records([encode(alert("middle", 4))], ALERTS, 1, 2),
        ]
    )
    assert reached == {0: 7, 1: 3}
    assert [channel.sent for channel in channels] == [["early", "middle", "late"]] * 2


def test_alerts_that_come_again_are_dropped(
    handler: AlertHandler, channels: list[Channel], records: Any
) -> None:
    handler.handle([records([encode(alert("a")), encode(alert("b", 1)), encode(alert("a"))], ALERTS)])
    handler.handle([records([encode(alert("b", 1)), encode(alert("c", 2))], ALERTS, 0, 3)])
    handler.handle([records([encode(alert("c", 2))], ALERTS, 1)])
    assert channels[0].sent == ["a", "b", "c"]


def test_bad_alerts_are_dead_lettered_and_good_ones_go_on(
    handler: AlertHandler, channels: list[Channel], outputs: Any, records: Any
) -> None:
    values = [b"x", encode(alert("a")), None, encode(alert("b")).replace(b"buy_signal", b"tip")]
    assert handler.handle([records(values, ALERTS, 0, 40)]) == {0: 44}
    assert channels[0].sent == ["a"]
    letters = outputs.to(f"{ALERTS}_dlq")
    assert [(sent.headers["original-offset"], sent.headers["reason"]) for sent in letters] == [
        ("40", "not-json"),
        ("42", "null-value"),
        ("43", "wrong-type"),
    ]


def test_a_channel_that_fails_gets_the_alerts_with_the_next_attempt(
    handler: AlertHandler, channels: list[Channel], records: Any
) -> None:
    channels[1].errors = [OSError("disk full")]
    batch = records([encode(alert("a"))], ALERTS)
    with pytest.raises(OSError, match="disk full"):
        handler.handle([batch])
    assert handler.handle([batch]) == {0: 1}
    assert channels[1].sent == ["a"]


def test_a_channel_that_has_an_alert_does_not_get_it_again_because_another_failed(
    handler: AlertHandler, channels: list[Channel], records: Any
) -> None:
    channels[1].errors = [OSError("disk full")] * 2
    batch = records([encode(alert("a"))], ALERTS)
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            handler.handle([batch])
    handler.handle([batch])
    assert channels[0].sent == ["a"]


def test_a_channel_that_fails_does_not_multiply_dead_letters(
    handler: AlertHandler, channels: list[Channel], outputs: Any, records: Any
) -> None:
    channels[0].errors = [OSError("gone")] * 2
    batch = records([encode(alert("a")), b"nonsense"], ALERTS)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            handler.handle([batch])
    handler.handle([batch])
    assert len(outputs.to(f"{ALERTS}_dlq")) == 1
