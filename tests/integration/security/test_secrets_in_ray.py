"""A password of the environment travels to the actors, and shows nowhere on its way."""

from __future__ import annotations

import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.integration.trial import Trial
from vnpulse.store.status import StatusStore

SECRET = "p4ss-nobody-may-see"

PAGES = (
    "/api/v0/actors?detail=true&limit=10000",
    "/api/v0/tasks?detail=true&limit=10000",
    "/api/v0/workers?detail=true&limit=10000",
    "/api/jobs/",
    "/logical/actors",
)


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode("utf-8", "replace"))


def test_a_password_is_in_no_name_log_process_list_or_dashboard(
    deployment: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_USERNAME", "bob")
    monkeypatch.setenv("KAFKA_PASSWORD", SECRET)
    (driver,) = deployment.run_pipelines("notification")
    shown = {path: page(deployment.stack.ray_dashboard_url + path) for path in PAGES}
    assert deployment.name in shown["/api/v0/actors?detail=true&limit=10000"]
    # The stack, and so Ray, are children of this process.
    arguments: list[str] = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end while we look
            arguments += process.cmdline()
    (session,) = {
        word.partition("=")[2] for word in arguments if word.startswith(("--session-dir=", "--session_dir="))
    }
    driver.terminate()
    logs = [*(Path(session) / "logs").rglob("*"), *deployment.folder.rglob("*.log")]
    logs += deployment.stack.kafka_data.parents[1].rglob("*.log")
    assert len(logs) > 5
    assert not [file for file in logs if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert not [word for word in arguments if SECRET in word]
    assert not [path for path, text in shown.items() if SECRET in text]
    assert SECRET not in str(StatusStore(deployment.database()).read())
