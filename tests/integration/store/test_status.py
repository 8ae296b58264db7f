"""StatusStore on a real server."""

from __future__ import annotations

from vnpulse.store.status import StatusStore


def test_each_actor_has_its_last_status(statuses: StatusStore) -> None:
    statuses.write([{"name": "b", "status": "starting"}, {"name": "a", "status": "running", "records": 5}])
    statuses.write([{"name": "b", "status": "running"}])
    assert statuses.read() == [
        {"name": "a", "status": "running", "records": 5},
        {"name": "b", "status": "running"},
    ]


def test_forgotten_actors_are_gone(statuses: StatusStore) -> None:
    statuses.write([{"name": "a"}, {"name": "b"}])
    statuses.forget(["a", "unknown"])
    statuses.forget([])
    assert statuses.read() == [{"name": "b"}]


def test_nothing_to_write_is_harmless(statuses: StatusStore) -> None:
    statuses.write([])
    assert statuses.read() == []


def test_ping_names_the_server(statuses: StatusStore) -> None:
    assert "MongoDB" in statuses.ping()
