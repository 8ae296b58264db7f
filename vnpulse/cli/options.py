"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vnpulse.deployment import resolve
from vnpulse.settings import DEFAULT_CONFIG, Settings, load_settings

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="VNPULSE_CONFIG", help="Settings file.", show_default="configs/local.yaml"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT = DEFAULT_CONFIG

out = Console(highlight=False)
"""Standard output: what the command was asked for."""

err = Console(stderr=True, highlight=False)
"""Standard error: progress and remarks, so that output can be piped."""


def running_settings(config: Path) -> Settings:
    """Return the settings with the addresses of what runs. Raises UserError if nothing does."""
    return resolve(load_settings(config))
