"""Which collectors a driver has, and when they are replaced."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.collection import actors
from pipelines.runtime import main
from pipelines.wiring import DRAIN_ORDER, Cluster
from vnpulse.errors import SettingsError
from vnpulse.settings import load_settings


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[..., Cluster]:
    def make(enabled: bool = True, **sections: Any) -> Cluster:
        sources, config = tmp_path / "sources.yaml", tmp_path / "vnpulse.yaml"
        sources.write_text(yaml.safe_dump(sections))
        document = {
            "kafka": {"bootstrap_servers": ["127.0.0.1:9"]},
            "store": {"uri": "mongodb://127.0.0.1:9"},
            "ray": {"address": "127.0.0.1:9"},
            "collection": {"enabled": enabled, "sources": str(sources)},
        }
        config.write_text(yaml.safe_dump(document))
        return Cluster(load_settings(config), {})

    return make


def test_one_actor_for_each_section_and_none_where_it_is_off(cluster: Callable[..., Cluster]) -> None:
    specs = actors(cluster(prices={}, schedule={}))
    assert [spec.name for spec in specs] == ["collection/prices", "collection/schedule"]
    assert {spec.drain_rank for spec in specs} == {DRAIN_ORDER.index("collection")} == {0}
    assert actors(cluster(enabled=False, prices={})) == []


def test_other_sources_replace_the_actors(cluster: Callable[..., Cluster]) -> None:
    (before,) = actors(cluster(prices={"poll_seconds": 15}))
    (same,) = actors(cluster(prices={"poll_seconds": 15}))
    (after,) = actors(cluster(prices={"poll_seconds": 30}))
    assert before.version == same.version != after.version


def test_a_mistake_in_the_sources_is_said_where_it_is(cluster: Callable[..., Cluster]) -> None:
    with pytest.raises(SettingsError, match=r"sources\.yaml:3: prices\.sources\.0: was \"tcbs\""):
        actors(cluster(prices={"sources": ["tcbs"]}))


def test_alone_it_refuses_to_run_where_it_is_off(
    cluster: Callable[..., Cluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster(enabled=False)
    monkeypatch.setattr(sys, "argv", ["collection", "--config", str(tmp_path / "vnpulse.yaml")])
    monkeypatch.setattr("pipelines.runtime.configure_logging", lambda _: None)
    with pytest.raises(SystemExit) as left:
        main("collection")
    assert left.value.code == 2
    assert "vnpulse.yaml: collection.enabled is false" in capsys.readouterr().err
