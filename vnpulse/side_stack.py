"""A stack beside the configured one, for a command that must neither see nor touch what that one keeps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vnpulse.configuration import masked
from vnpulse.deployment import require_embedded
from vnpulse.embedded.errors import StackNotRunning
from vnpulse.embedded.stack import read_addresses
from vnpulse.errors import UserError
from vnpulse.settings import Settings, load_settings


def empty_folder(settings: Settings, name: str) -> Path:
    """Return an empty state folder called ``name`` inside the configured one.

    Raises UserError if a stack runs there, or the settings name an existing cluster.
    """
    folder = require_embedded(settings).state_dir / name
    try:
        running = read_addresses(folder)
    except StackNotRunning:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        raise UserError(f"a {name} is running already (process {running.owner_pid}, state {folder})")
    folder.mkdir(parents=True)
    return folder


def side_settings(
    settings: Settings,
    folder: Path,
    name: str = "config",
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Settings, Path]:
    """Return ``settings`` with their state in ``folder``, and the file there that pipelines read them from.

    ``changes`` go over whole keys of a section: {"kafka": {"topic_prefix": "calm."}}.
    """
    document = masked(settings)
    document["embedded"]["state_dir"] = str(folder)
    document["channels"] = [{"kind": "console"}, {"kind": "jsonl", "path": str(folder / "alerts.jsonl")}]
    document["kafka"].pop("security")
    document["store"].pop("uri")  # comes from the environment again if it came from there
    document["sentiment"]["second_reader"].pop("api_key")
    for section, values in (changes or {}).items():
        document[section] |= values
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return load_settings(path), path
