"""AlertStore on a real server: alerts by id, and the aggregator's snapshots."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from tests.integration.market import OPENING
from vnpulse.messages import Alert, AlertData, encode
from vnpulse.store.alerts import AlertStore, Snapshot


def alert(alert_id: str, symbol: str = "VCB", minutes: int = 0, **explanation: Any) -> Alert:
    return Alert(
        alert_id=alert_id,
        symbol=symbol,
        alert_type="buy_signal",
        priority="high",
        timestamp=OPENING + dt.timedelta(minutes=minutes),
        message="score +0.75",
        data=AlertData(0.75, "BUY", 95.0, explanation),
    )


def test_an_alert_is_read_back_as_it_was_written(alerts: AlertStore) -> None:
    # A time in milliseconds does not fit 32 bits; the store has a type of its own for such numbers.
    written = alert(
        "a1", inputs=[{"topic": "t", "partition": 0, "offset": 3, "timestamp": 1_753_700_000_000}]
    )
    alerts.write([written])
    assert alerts.get("a1") == written
    assert encode(alerts.get("a1")) == encode(written)
    assert alerts.get("unknown") is None


def test_an_alert_made_again_is_there_once(alerts: AlertStore) -> None:
    alerts.write([alert("a1"), alert("a2")])
    alerts.write([alert("a1")])
    alerts.write([])
    assert sorted(a.alert_id for a in alerts.recent(0, 10)) == ["a1", "a2"]


def test_recent_is_newest_first_and_bounded(alerts: AlertStore) -> None:
    alerts.write([alert(f"a{i}", "VCB" if i % 2 else "FPT", minutes=i) for i in range(6)])
    assert [a.alert_id for a in alerts.recent(0, 3)] == ["a5", "a4", "a3"]
    assert [a.alert_id for a in alerts.recent(0, 10, "FPT")] == ["a4", "a2", "a0"]
    since_ms = int((OPENING + dt.timedelta(minutes=4)).timestamp() * 1000)
    assert [a.alert_id for a in alerts.recent(since_ms, 10)] == ["a5", "a4"]


def test_an_alert_is_found_by_how_its_id_begins(alerts: AlertStore) -> None:
    alerts.write([alert("abc-1"), alert("abd-2"), alert("b.*-3")])
    assert sorted(alerts.ids_starting("ab", 0)) == ["abc-1", "abd-2"]
    assert alerts.ids_starting("abc", 0) == ["abc-1"]
    assert alerts.ids_starting(".*", 0) == []


def test_without_a_snapshot_everything_is_to_be_read(alerts: AlertStore) -> None:
    assert alerts.load_snapshot("results", 0) == Snapshot(0, 0, {})


def test_a_snapshot_is_the_offset_and_the_states_of_the_symbols(alerts: AlertStore) -> None:
    alerts.save_snapshot("results", 0, Snapshot(9, 10, {"VCB": (9, b"\x00state"), "FPT": (4, b"")}))
    alerts.save_snapshot("results", 1, Snapshot(2, 3, {"HPG": (3, b"other partition")}))
    assert alerts.load_snapshot("results", 0) == Snapshot(9, 10, {"VCB": (9, b"\x00state"), "FPT": (4, b"")})
    assert alerts.load_snapshot("results", 1) == Snapshot(2, 3, {"HPG": (3, b"other partition")})
    assert alerts.load_snapshot("elsewhere", 0) == Snapshot(0, 0, {})


def test_a_later_snapshot_replaces_what_changed_and_keeps_the_rest(alerts: AlertStore) -> None:
    alerts.save_snapshot("results", 0, Snapshot(9, 10, {"VCB": (9, b"old"), "FPT": (4, b"kept")}))
    alerts.save_snapshot("results", 0, Snapshot(19, 20, {"VCB": (19, b"new")}))
    assert alerts.load_snapshot("results", 0) == Snapshot(19, 20, {"VCB": (19, b"new"), "FPT": (4, b"kept")})


def test_saving_a_snapshot_again_is_harmless(alerts: AlertStore) -> None:
    for _ in range(2):
        alerts.save_snapshot("results", 0, Snapshot(9, 10, {"VCB": (9, b"state")}))
    alerts.save_snapshot("results", 0, Snapshot(10, 11, {}))
    assert alerts.load_snapshot("results", 0) == Snapshot(10, 11, {"VCB": (9, b"state")})


def test_explanations_survive_as_json(alerts: AlertStore) -> None:
    written = alert("a1", components={"technical": {"score": -0.25, "share": 1}}, articles=[{"title": "Giá"}])
    alerts.write([written])
    found = alerts.get("a1")
    assert found is not None
    assert msgspec.json.decode(encode(found)) == msgspec.json.decode(encode(written))
