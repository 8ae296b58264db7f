from __future__ import annotations

import datetime as dt
import io
import json
import resource
from pathlib import Path

import msgspec
import pytest

from vnpulse.messages import VIETNAM, Alert, AlertData, encode
from vnpulse.notification.channels import Console, JsonLines, one_line, open_channels
from vnpulse.notification.settings import ConsoleChannel, JsonLinesChannel

AT = dt.datetime(2025, 7, 28, 10, 5, tzinfo=VIETNAM)


def alert(alert_id: str, message: str = "điểm +0.70") -> Alert:
    return Alert(alert_id, "FPT", "buy_signal", "high", AT, message, AlertData(0.7, "BUY", 92.0))


def held(path: Path) -> list[str]:
    """Return the ids of the lines of a file; fails if one is no alert."""
    return [msgspec.json.decode(line, type=Alert).alert_id for line in path.read_bytes().splitlines()]


def test_the_console_shows_one_line_an_alert() -> None:
    stream = io.StringIO()
    Console(stream).send([alert("aaaaaaaa-1"), alert("bbbbbbbb-2")])
    first, second = stream.getvalue().splitlines()
    for part in ("2025-07-28 10:05", "FPT", "BUY", "high", "target 92", "điểm +0.70", "aaaaaaaa"):
        assert part in first
    assert "bbbbbbbb" in second


def test_an_alert_without_a_target_is_one_line_too() -> None:
    risk = Alert("c", "VNINDEX", "risk_alert", "critical", AT, "-5.0 %", AlertData(-0.4, "HOLD", None))
    assert "target" not in one_line(risk)
    assert "RISK" in one_line(risk)


def test_each_alert_is_one_json_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    JsonLines(path).send([alert("a"), alert("b", "hai\ndòng")])
    assert path.read_bytes().endswith(b"\n")
    assert held(path) == ["a", "b"]
    assert json.loads(path.read_bytes().splitlines()[1])["message"] == "hai\ndòng"


def test_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "alerts.jsonl"
    JsonLines(path).send([alert("a")])
    assert held(path) == ["a"]


def test_an_alert_that_comes_again_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    channel = JsonLines(path)
    channel.send([alert("a"), alert("b"), alert("a")])
    channel.send([alert("b"), alert("c")])
    channel.send([])
    assert held(path) == ["a", "b", "c"]


def test_alerts_are_recognised_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    JsonLines(path).send([alert("a"), alert("b")])
    JsonLines(path).send([alert("b"), alert("c")])
    assert held(path) == ["a", "b", "c"]


@pytest.mark.parametrize("cut", [1, 2, 20, 200])
def test_a_last_line_that_a_crash_cut_short_is_removed_and_its_alert_written_again(
    tmp_path: Path, cut: int
) -> None:
    path = tmp_path / "alerts.jsonl"
    JsonLines(path).send([alert("a"), alert("b")])
    path.write_bytes(path.read_bytes()[:-cut])
    JsonLines(path).send([alert("b"), alert("c")])
    assert held(path) == ["a", "b", "c"]


def test_a_file_of_nothing_but_a_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(encode(alert("a"))[:30])
    JsonLines(path).send([alert("a")])
    assert held(path) == ["a"]


def test_an_empty_file_is_a_good_file(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.touch()
    JsonLines(path).send([alert("a")])
    assert held(path) == ["a"]


def test_lines_of_others_are_left_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b"# notes of mine\n")
    JsonLines(path).send([alert("a")])
    assert path.read_bytes() == b"# notes of mine\n" + encode(alert("a")) + b"\n"


def test_a_write_that_the_disk_cut_short_leaves_no_half_line_behind(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    channel = JsonLines(path)
    channel.send([alert("a")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            channel.send([alert("b")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    channel.send([alert("b"), alert("c")])
    assert held(path) == ["a", "b", "c"]


def test_channels_are_opened_in_the_order_of_the_settings(tmp_path: Path) -> None:
    configured = (JsonLinesChannel(kind="jsonl", path=tmp_path / "a.jsonl"), ConsoleChannel(kind="console"))
    assert [channel.name for channel in open_channels(configured, io.StringIO())] == ["jsonl", "console"]
