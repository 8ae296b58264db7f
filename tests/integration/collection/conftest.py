"""Sources on loopback, and a deployment that collects from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.collection.feed_server import FeedServer
from tests.integration.collection.market_proxy import MarketProxy
from tests.integration.trial import Trial
from vnpulse.collection.vnstock_environment import vnstock_python


@pytest.fixture(scope="session")
def python() -> Path:
    """The environment is made once a machine, as for users; no package comes through the market's proxy."""
    return vnstock_python(None)


@pytest.fixture
def server() -> Iterator[FeedServer]:
    server = FeedServer()
    yield server
    server.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[MarketProxy]:
    proxy = MarketProxy(tmp_path)
    yield proxy
    proxy.close()


@pytest.fixture
def sources_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sources file of the given sections."""

    def write(**sections: Any) -> Path:
        path = tmp_path / "sources.yaml"
        vnstock = {"scratch": str(tmp_path / "scratch"), "calls_per_minute": 60, "call_timeout_s": 90}
        path.write_text(yaml.safe_dump({"vnstock": vnstock, **sections}))
        return path

    return write


@pytest.fixture
def collecting(deployment: Trial, sources_file: Callable[..., Path], python: Path) -> Callable[..., Trial]:
    """Makes the deployment collect by the given sections."""

    def configure(**sections: Any) -> Trial:
        path = sources_file(**sections)
        deployment.write_config(collection={"enabled": True, "sources": str(path)})
        return deployment

    return configure
