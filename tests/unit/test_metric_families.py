"""The names on the endpoints keep Prometheus' conventions."""

from __future__ import annotations

import re

import pytest

from vnpulse.metric_families import FAMILIES, PIPELINE_FAMILIES, Family


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_name_says_what_is_counted_and_in_what_unit(family: Family) -> None:
    """https://prometheus.io/docs/practices/naming/"""
    assert re.fullmatch(r"vnpulse_[a-z][a-z0-9_]*[a-z]", family.exported)
    assert family.exported.endswith("_total") == (family.kind == "counter")
    assert family.exported.endswith("_seconds") == (family.kind == "histogram")
    assert not family.exported.endswith(("_rate", "_avg", "_ms", "_count", "_sum", "_bucket"))
    assert all(re.fullmatch(r"[a-z_]+", label) for label in family.labels)
    assert family.about.endswith(".")


def test_no_two_metrics_have_the_same_name() -> None:
    assert len({family.series for family in FAMILIES.values()}) == len(FAMILIES)


def test_what_ray_exports_has_its_prefix_and_the_rest_has_not() -> None:
    assert all(family.series.startswith("ray_vnpulse_") for family in PIPELINE_FAMILIES)
    assert FAMILIES["kafka.group.lag"].series == "vnpulse_kafka_group_lag"
