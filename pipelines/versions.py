"""What an actor is made from, as a short hash: what has the same one need not be replaced."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr

import actors
import pipelines
import vnpulse
from vnpulse.configuration import CONFIG_DIR
from vnpulse.settings import Settings

_SOURCES = (".py", ".yaml")


@cache
def code_version() -> str:
    """Return the hash of the code and of the configuration files that lie beside it."""
    digest = hashlib.sha256()
    folders = [Path(str(package.__file__)).parent for package in (vnpulse, actors, pipelines)]
    for folder in [*folders, CONFIG_DIR]:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def version(settings: Settings, partitions: dict[str, int]) -> str:
    """Return the hash of the code, the settings and the topics' partition counts.

    How many hosts share a topic is left out: the partitions that an actor has are in its name, so
    that one whose partitions stay is left alone when others are spread anew. So is how many shards
    an analyzer has, which those who call them learn while they run.
    """
    said = settings.model_dump(mode="python")
    for placement in said["placement"].values():
        for number in ("hosts", "shards", "autoscale"):
            placement.pop(number, None)
    return _hash(said, partitions)


def supervisor_version(settings: Settings, partitions: dict[str, int]) -> str:
    """Return the same of a supervisor, which is to know all numbers."""
    return _hash(settings.model_dump(mode="python"), partitions)


def _hash(said: dict[str, Any], partitions: dict[str, int]) -> str:
    text = json.dumps([said, partitions], default=_plain, sort_keys=True)
    return hashlib.sha256(f"{code_version()} {text}".encode()).hexdigest()[:12]


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
