"""What can be wrong with the commands that collect: one line each, before anything is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vnpulse.cli.backfill import backfill
from vnpulse.cli.collect import collect
from vnpulse.errors import UserError


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """A configuration of addresses where nobody listens, with a sources file of the given sections."""

    def write(**sections: Any) -> Path:
        sources, path = tmp_path / "sources.yaml", tmp_path / "vnpulse.yaml"
        sources.write_text(yaml.safe_dump(sections))
        path.write_text(
            yaml.safe_dump(
                {
                    "kafka": {"bootstrap_servers": ["127.0.0.1:9"]},
                    "store": {"uri": "mongodb://127.0.0.1:9"},
                    "ray": {"address": "127.0.0.1:9"},
                    "collection": {"sources": str(sources)},
                }
            )
        )
        return path

    return write


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"symbols": "NOPE,VCB"}, "symbols without an exchange: NOPE; add them to .*companies.yaml"),
        ({"first": "2025-13-01"}, "--from was 2025-13-01, must be a date like 2025-01-02"),
        ({"first": "1999-01-01"}, "--from was 1999-01-01, before the first session"),
        ({"last": "2024-01-02"}, r"--from was 2025-01-02, after --to \(2024-01-02\)"),
        ({"last": "2999-01-02"}, r"--to was 2999-01-02, after today"),
        ({"interval": "5m"}, "--interval was 5m, allowed: 1m, 1d"),
    ],
)
def test_backfill(config: Callable[..., Path], given: dict[str, str], line: str) -> None:
    arguments = {"symbols": "VCB", "first": "2025-01-02", "last": None, "interval": "1m"} | given
    with pytest.raises(UserError, match=line):
        backfill(**arguments, config=config(prices={}), sources=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sections", "only", "line"),
    [
        ({"prices": {}}, "weather", "--only was weather, allowed: prices, news, schedule"),
        ({}, None, "has no section of prices, news, schedule"),
        (
            {"prices": {"pol_seconds": 3}},
            None,
            r"sources.yaml:2: prices.pol_seconds: unknown key; did you mean",
        ),
        ({"news": {"feeds": [{"name": "A", "source": "x", "url": "ftp://x"}]}}, None, "news.feeds.0.url"),
        (
            {"schedule": {"points": [{"name": "a", "anchor": "open"}] * 2}},
            None,
            "points: a name is given twice",
        ),
    ],
)
def test_collect(config: Callable[..., Path], sections: dict[str, Any], only: str | None, line: str) -> None:
    with pytest.raises(UserError, match=line):
        collect(config=config(**sections), follow=False, only=only, sources=None)
