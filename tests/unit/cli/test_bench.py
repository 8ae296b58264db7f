"""What `vnpulse bench kafka` refuses before it looks for a broker."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vnpulse.cli.app import app
from vnpulse.errors import UserError


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (
            ("--profile", "fast"),
            "--profile: was fast, must be one of default, high_throughput, low_latency",
        ),
        (("--client", "java"), "--client: was java, must be one of kafka-python, confluent"),
    ],
)
def test_an_unknown_profile_or_client_is_one_line(
    tmp_path: Path, option: tuple[str, str], problem: str
) -> None:
    config = tmp_path / "vnpulse.yaml"
    config.write_text("kafka: {bootstrap_servers: ['k:1']}\nstore: {uri: m}\nray: {address: r}\n")
    done = CliRunner().invoke(app, ["bench", "kafka", "--config", str(config), *option])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == problem
