"""The simulation of a large market, at a small size: what it reports is what its figures rest on."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from benchmarks.simulate_scale import simulate

PARTITIONS = 40


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    logging.disable(logging.ERROR)
    try:
        return simulate(4_000, PARTITIONS)
    finally:
        logging.disable(logging.NOTSET)


def test_every_actor_of_the_plan_starts_on_a_node_of_its_kind(report: dict[str, Any]) -> None:
    assert report["actors"] == sum(report["actors_by_kind"].values()) > PARTITIONS
    assert report["actors_a_node"]["min"] > 0
    assert report["misplaced"] == []


def test_symbols_are_spread_over_all_partitions(report: dict[str, Any]) -> None:
    spread = report["symbols_a_partition"]
    assert 0 < spread["min"] <= spread["mean"] <= spread["max"] < 2 * spread["mean"]


@pytest.mark.parametrize("blow", ["a_tenth_dies", "a_node_dies"])
def test_what_died_is_made_anew_and_nothing_else(report: dict[str, Any], blow: str) -> None:
    assert report[blow]["runs"]
    assert report[blow]["made_anew"] == report[blow]["died"] > 0


def test_an_upgrade_replaces_each_actor_once(report: dict[str, Any]) -> None:
    assert report["upgrade"]["replaced"] == report["actors"]


def test_each_actor_is_asked_about_once_a_second_or_less(report: dict[str, Any]) -> None:
    assert 0 < report["steady"]["calls_a_second"] <= report["actors"] / 0.8
