"""What `ray up` is given: Ray accepts it, local clusters start whole, and nothing is open to strangers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([ROOT / "cluster.yaml", *(ROOT / "configs" / "cluster").glob("*.yaml")])
LOCAL = [path for path in FILES if path.name in ("cluster.yaml", "on-premise-tls.yaml")]
CLOUD = [path for path in FILES if path not in LOCAL]
HEAD, WORKER = "head_start_ray_commands", "worker_start_ray_commands"


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", FILES, ids=name)
def test_ray_accepts_the_file(path: Path) -> None:
    validate_config(prepare_config(read(path)))


@pytest.mark.parametrize("path", LOCAL, ids=name)
def test_every_worker_of_a_local_cluster_is_started(path: Path) -> None:
    cluster = read(path)
    workers = len(cluster["provider"]["worker_ips"])
    assert cluster["min_workers"] == cluster["max_workers"] == workers


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_node_starts_without_the_token_and_the_dashboard_stays_on_loopback(path: Path) -> None:
    cluster = read(path)
    starts = [command for key in (HEAD, WORKER) for command in cluster[key] if "ray start" in command]
    assert len(starts) == 2
    assert all(re.search(r"RAY_AUTH_MODE=token\b", command) for command in starts)
    assert "~/.ray/auth_token" in cluster["file_mounts"]
    assert "--dashboard-host=127.0.0.1" in starts[0]


@pytest.mark.parametrize("path", CLOUD, ids=name)
def test_a_cloud_has_nodes_of_every_kind_that_placement_asks_for(path: Path) -> None:
    types = read(path)["available_node_types"]
    markets = {kind: node["labels"]["ray.io/market-type"] for kind, node in types.items()}
    assert markets == {"head": "on-demand", "cpu": "on-demand", "gpu": "on-demand", "spot": "spot"}
    assert [kind for kind, node in types.items() if node["resources"].get("GPU")] == ["gpu"]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_secret_is_in_the_file(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in ("MONGODB_URI=", "PASSWORD=", "API_KEY=", "aws_secret") if word in text]
