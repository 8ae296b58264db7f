"""Every setting is named on some page of docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from vnpulse.configuration import CONFIG_DIR
from vnpulse.settings import Settings

PAGES = "\n".join(page.read_text() for page in (CONFIG_DIR.parent / "docs").glob("*.md"))
NAMED = set(re.findall(r"\w+", " ".join(re.findall(r"```.*?```|`[^`\n]+`", PAGES, re.S))))


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections(part)


def settings(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        below = list(sections(field.annotation))
        for section in below:
            yield from settings(section, f"{above}{name}.")
        if not below:
            yield f"{above}{name}"


def test_every_setting_is_documented() -> None:
    missing = {key for key in settings(Settings) if key.rpartition(".")[2] not in NAMED}
    assert not missing
