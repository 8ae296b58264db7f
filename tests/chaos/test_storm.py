"""A short storm, as `vnpulse chaos` runs it for users: what is left is what a calm run leaves."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.integration.trial import BIN

FAULTS = (
    "kill-consumer",
    "kill-analyzer",
    "kill-supervisor",
    "kill-store",
    "kill-broker",
    "cut-broker",
    "reset-store",
)
SYMBOLS = "ACB,FPT,HPG,VCB,VND,VNINDEX"
MINUTES = 60


@pytest.mark.timeout(600)
def test_a_storm_leaves_what_a_calm_run_leaves() -> None:
    with tempfile.TemporaryDirectory(prefix="vnp-") as folder:
        config = Path(folder) / "config.yaml"
        document = {"embedded": {"state_dir": folder}, "sentiment": {"model": "lexicon"}}
        config.write_text(yaml.safe_dump(document))
        options = [
            "--kills",
            len(FAULTS),
            "--only",
            ",".join(FAULTS),
            "--symbols",
            SYMBOLS,
            "--minutes",
            MINUTES,
        ]
        done = subprocess.run(
            [
                str(BIN / "vnpulse"),
                "chaos",
                *map(str, options),
                "--seed",
                "7",
                "--json",
                "--config",
                str(config),
            ],
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert set(report["by_kind"]) == {name.replace("-", " ") for name in FAULTS}
    assert report["bars"] == 6 * MINUTES
    assert report["results"] > report["bars"], "articles have results too"
    assert report["alerts"] > 0
    assert report["recovery"]["count"] == len(FAULTS)
