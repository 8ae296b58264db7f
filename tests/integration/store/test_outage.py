"""A store that goes away, and one that comes back."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from pymongo.database import Database

from tests.integration.store.conftest import batch, minutes
from vnpulse.embedded.mongo import MongoConfig, MongoServer
from vnpulse.embedded.ports import PortBook
from vnpulse.errors import SettingsError, StoreUnavailable
from vnpulse.store import connection
from vnpulse.store.alerts import AlertStore, Snapshot
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import Document, connect
from vnpulse.store.news import NewsStore
from vnpulse.store.settings import StoreSettings
from vnpulse.store.status import StatusStore

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("secantus") is None, reason="needs a server of its own to stop"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MongoServer]:
    server = MongoServer(MongoConfig(folder=tmp_path / "mongo"), PortBook(tmp_path / "ports.json"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database(server: MongoServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database[Document]]:
    # How long the driver looks for a server is not what is tested here, and five times as long to wait.
    monkeypatch.setattr(connection, "SERVER_SELECTION_TIMEOUT_MS", 1_000)
    database = connect(StoreSettings(uri=SecretStr(server.uri), database="outage"))
    yield database
    database.client.close()


CALLS: dict[str, Callable[[Database[Document]], object]] = {
    "write bars": lambda db: BarStore(db).write([batch(minutes("VCB", 0, 3))]),
    "latest bars": lambda db: list(BarStore(db).latest_bars(("1m",), 3)),
    "progress": lambda db: BarStore(db).stored_through("prices"),
    "write news": lambda db: NewsStore(db).ensure_indexes(),
    "recent news": lambda db: list(NewsStore(db).recent_news(0)),
    "alert": lambda db: AlertStore(db).get("a"),
    "snapshot": lambda db: AlertStore(db).save_snapshot("t", 0, Snapshot(1, 1, {})),
    "status": lambda db: StatusStore(db).replace([{"name": "a"}], "s"),
    "ping": lambda db: StatusStore(db).ping(),
}


def test_every_call_says_that_the_store_is_away_and_works_when_it_is_back(
    server: MongoServer, database: Database[Document]
) -> None:
    BarStore(database).write([batch(minutes("FPT", 0, 5), partition=1)])
    server.stop()
    for call in CALLS.values():
        with pytest.raises(StoreUnavailable) as caught:
            call(database)
        assert caught.value.retriable
        assert "\n" not in str(caught.value)
        assert server.uri not in str(caught.value)
    server.start()
    for call in CALLS.values():
        call(database)
    bars = BarStore(database)
    assert bars.stored_through("prices") == {0: 3, 1: 5}
    assert bars.count_between("1m", "2025-07-28", "2025-07-28") == 8


def test_what_was_acknowledged_survives_a_kill(server: MongoServer, database: Database[Document]) -> None:
    import psutil

    BarStore(database).write([batch(minutes("VCB", 0, 30))])
    assert server.process is not None
    for child in psutil.Process(server.process.pid).children(recursive=True):
        child.kill()
    server.process.wait(20)
    server.stop()
    server.start()
    assert BarStore(database).count_between("1m", "2025-07-28", "2025-07-28") == 30
    assert BarStore(database).stored_through("prices") == {0: 30}


@pytest.mark.parametrize("uri", ["http://localhost", "mongodb://"])
def test_an_address_that_is_none_is_a_mistake_in_the_settings(uri: str) -> None:
    with pytest.raises(SettingsError, match="MONGODB_URI") as caught:
        connect(StoreSettings(uri=SecretStr(uri)))
    assert "\n" not in str(caught.value)


def test_an_error_does_not_repeat_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SERVER_SELECTION_TIMEOUT_MS", 200)
    uri = "mongodb://someone:geheim@127.0.0.1:1/?directConnection=true"
    database = connect(StoreSettings(uri=SecretStr(uri), database="nowhere"))
    with pytest.raises(StoreUnavailable) as caught:
        StatusStore(database).ping()
    database.client.close()
    assert "geheim" not in str(caught.value)
