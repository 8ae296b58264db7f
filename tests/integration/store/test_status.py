"""StatusStore on a real server."""

from __future__ import annotations

from vnpulse.store.status import StatusStore


def test_each_actor_has_its_last_status(statuses: StatusStore) -> None:
    rows = [{"name": "b", "status": "starting"}, {"name": "a", "status": "running", "records": 5}]
    statuses.replace(rows, "s")
    statuses.replace([{"name": "b", "status": "running"}, rows[1]], "s")
    assert statuses.read() == [
        {"name": "a", "status": "running", "records": 5, "supervisor": "s"},
        {"name": "b", "status": "running", "supervisor": "s"},
    ]


def test_an_actor_that_its_supervisor_does_not_name_any_more_is_gone(statuses: StatusStore) -> None:
    statuses.replace([{"name": "a"}, {"name": "b"}], "s")
    statuses.replace([{"name": "c"}], "other")
    statuses.replace([{"name": "b"}], "s")
    assert [row["name"] for row in statuses.read()] == ["b", "c"]
    statuses.replace([], "s")
    assert [row["name"] for row in statuses.read()] == ["c"]


def test_clearing_leaves_nothing(statuses: StatusStore) -> None:
    statuses.replace([{"name": "a"}], "s")
    statuses.clear()
    assert statuses.read() == []


def test_ping_names_the_server(statuses: StatusStore) -> None:
    assert "MongoDB" in statuses.ping()
