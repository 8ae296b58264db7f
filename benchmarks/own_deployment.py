"""A deployment of a benchmark's own, which goes with it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from vnpulse.launcher import Deployment
from vnpulse.settings import DEFAULT_CONFIG, load_settings


@contextmanager
def own_deployment(driver: str = "pipelines.run", **sections: Any) -> Iterator[Deployment]:
    """Give one with its state in a temporary folder; nothing of it is started yet.

    ``sections`` take the place of those of the default configuration.
    """
    with tempfile.TemporaryDirectory(prefix="vnpulse-bench-") as folder:
        config = Path(folder) / "config.yaml"
        own = {
            "embedded": {"state_dir": f"{folder}/state"},
            "channels": [{"kind": "jsonl", "path": f"{folder}/alerts.jsonl"}],
        }
        config.write_text(yaml.safe_dump(yaml.safe_load(DEFAULT_CONFIG.read_text()) | own | sections))
        with Deployment(
            load_settings(config), config, lambda line: print(line, file=sys.stderr), driver=driver
        ) as deployment:
            yield deployment
