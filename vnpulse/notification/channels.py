"""Channels: a line on the console, and a JSON-lines file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TextIO

import msgspec

from vnpulse.messages import Alert, encode
from vnpulse.notification.settings import Channel, ConsoleChannel

REMEMBERED_TAIL_BYTES = 4_194_304
"""How much of an existing file is read for the ids that it holds: some thousand alerts."""


class NotificationChannel(Protocol):
    """Takes alerts; ``send`` returns when they are handed over, and the same alert may come again."""

    name: str

    def send(self, alerts: Sequence[Alert]) -> None: ...


class Console:
    """One line an alert."""

    name = "console"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, alerts: Sequence[Alert]) -> None:
        """Write the alerts."""
        for alert in alerts:
            self._stream.write(one_line(alert) + "\n")
        self._stream.flush()


class JsonLines:
    """Appends each alert once, as one JSON object a line, durably.

    Ids in the file's tail are remembered across restarts. A line that a crash cut short is
    removed when the file is opened: its alert comes again.
    """

    name = "jsonl"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[str] | None = None

    def send(self, alerts: Sequence[Alert]) -> None:
        """Append those of ``alerts`` that the file does not hold yet."""
        if self._seen is None:
            self._seen = self._recover()
        fresh = {alert.alert_id: alert for alert in alerts if alert.alert_id not in self._seen}
        if not fresh:
            return
        known, self._seen = self._seen, None  # until it is written: a failed write may leave half a line
        with self._path.open("ab") as file:
            file.write(b"".join(encode(alert) + b"\n" for alert in fresh.values()))
            file.flush()
            os.fsync(file.fileno())
        self._seen = known | fresh.keys()

    def _recover(self) -> set[str]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            return set()
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - REMEMBERED_TAIL_BYTES))
            tail = file.read()
            complete = tail.rfind(b"\n") + 1
            if complete < len(tail):
                file.truncate(start + complete)
        seen = set()
        for line in tail[:complete].splitlines():
            try:
                seen.add(msgspec.json.decode(line, type=Alert).alert_id)
            except msgspec.MsgspecError:
                continue  # the first line of the tail may be half of one
        return seen


def one_line(alert: Alert) -> str:
    """Return ``alert`` as one line for a terminal or a log."""
    target = f", target {alert.data.target_price:g}" if alert.data.target_price is not None else ""
    kind = alert.alert_type.removesuffix("_signal").removesuffix("_alert").upper()
    return (
        f"{alert.timestamp:%Y-%m-%d %H:%M} {alert.symbol:<7} {kind:<4} {alert.priority:<8}"
        f" {alert.data.recommendation}{target} | {alert.message} [{alert.alert_id[:8]}]"
    )


def open_channels(channels: Sequence[Channel], stream: TextIO) -> list[NotificationChannel]:
    """Return the configured channels; ``stream`` is the console."""
    return [
        Console(stream) if isinstance(channel, ConsoleChannel) else JsonLines(channel.path)
        for channel in channels
    ]
