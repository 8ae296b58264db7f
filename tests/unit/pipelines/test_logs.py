"""The driver's log as JSON."""

from __future__ import annotations

import json
import logging

from pipelines.logs import JsonFormatter


def test_a_line_is_one_object_whatever_it_says() -> None:
    record = logging.LogRecord("actors.supervisor", logging.WARNING, "f", 1, "died:\n%s", ("giá",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "WARNING", "logger": "actors.supervisor", "message": "died:\ngiá"}


def test_an_error_comes_with_its_traceback() -> None:
    try:
        raise ValueError("was 3")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "no", (), (ValueError, error, error.__traceback__)
        )
    assert "ValueError: was 3" in json.loads(JsonFormatter().format(record))["error"]
