"""A registry in memory: the outside service, which can be away."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from vnpulse.errors import SchemaUnavailable


class MemoryRegistry:
    """Numbers schemas from 1 on, counts questions, and answers none while ``away``."""

    def __init__(self) -> None:
        self.schemas: dict[int, str | None] = {}
        self.subjects: dict[tuple[str, str], int] = {}
        self.questions: Counter[str] = Counter()
        self.away = False

    def add(self, schema: dict[str, Any] | str, subject: str = "other") -> int:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        number = len(self.schemas) + 1
        self.schemas[number] = text
        self.subjects[subject, text] = number
        return number

    def schema_of(self, schema_id: int) -> str | None:
        self._ask(str(schema_id))
        return self.schemas.get(schema_id)

    def id_of(self, subject: str, schema: str) -> int | None:
        self._ask(subject)
        return self.subjects.get((subject, schema))

    def close(self) -> None:
        self.away = True

    def _ask(self, what: str) -> None:
        self.questions[what] += 1
        if self.away:
            raise SchemaUnavailable(f"{what}: away")


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()
