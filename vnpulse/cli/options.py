"""Options that many commands share."""

from __future__ import annotations

import sys
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

PIPED_WIDTH = 200
"""Columns where there is no terminal to ask: a table that is cut to 80 says nothing to a pipe."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
"""Standard output: what the command was asked for."""

err = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PIPED_WIDTH)
"""Standard error: progress and remarks, so that output can be piped."""


def running_settings(config: Path) -> Settings:
    """Return the settings with the addresses of what runs. Raises UserError if nothing does."""
    return resolve(load_settings(config))
