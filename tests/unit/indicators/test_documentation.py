"""The table in docs/indicators.md says of every indicator what its module does."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnpulse.indicators.catalogue import KINDS, parse

TABLE = {
    row[1].strip().strip("`"): row
    for line in (Path(__file__).parents[3] / "docs" / "indicators.md").read_text("utf-8").splitlines()
    if line.startswith("| `") and len(row := line.split("|")) == 7
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_names_outputs_and_warm_up(kind: str) -> None:
    spec = parse(kind)
    row = TABLE[str(spec)]
    assert row[3].strip() == ", ".join(f"`{name}`" for name in KINDS[kind].names(*spec.parameters))
    counts = KINDS[kind].warm_up(*spec.parameters)
    told = [int(count) for count in row[4].split(",")]
    assert told == list(counts) or set(counts) == set(told)


def test_the_table_has_nothing_else() -> None:
    assert len(TABLE) == len(KINDS)
