"""How two outcomes are told apart."""

from __future__ import annotations

from copy import deepcopy

import pytest

from vnpulse.chaos.outcome import Outcome, differences

BAR = ("technical", "VCB", "1m 2025-07-28T09:15:00+07:00")
ARTICLE = ("sentiment", "VCB", "n1")
ALERT = ("VCB", "buy", "2025-07-28T09:16:00+07:00", "+0.6000")


@pytest.fixture
def calm() -> Outcome:
    outcome = Outcome(bars={("VCB", "1m"): {1: (1.0, 2.0, 0.5, 1.5, 10.0)}}, articles={"n1"})
    outcome.results |= {BAR: {"r1"}, ARTICLE: {"r2"}}
    outcome.bodies |= {BAR: {b"{}"}, ARTICLE: {b"{}"}}
    outcome.alerts |= {ALERT: {"a1"}}
    outcome.stored_alerts = {"a1"}
    outcome.copies.update(["r1", "r2", "a1"])
    return outcome


@pytest.fixture
def stormy(calm: Outcome) -> Outcome:
    """The same, under ids of its own."""
    outcome = deepcopy(calm)
    outcome.results |= {BAR: {"s1"}, ARTICLE: {"s2"}}
    outcome.alerts |= {ALERT: {"b1"}}
    outcome.stored_alerts = {"b1"}
    return outcome


def test_other_ids_make_no_difference(calm: Outcome, stormy: Outcome) -> None:
    assert differences(calm, stormy) == []


def test_a_copy_with_the_same_id_makes_no_difference_and_is_counted(calm: Outcome, stormy: Outcome) -> None:
    stormy.copies.update(["r1"])
    assert differences(calm, stormy) == []
    assert stormy.repeated == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o: o.bars[("VCB", "1m")].clear(), "stored bars differ for VCB 1m"),
        (lambda o: o.articles.clear(), "1 articles stored missing: n1"),
        (lambda o: o.results.pop(BAR), "1 results missing: technical VCB 1m"),
        (lambda o: o.results.update({("sentiment", "VCB", "n9"): {"s9"}}), "1 results too many"),
        (lambda o: o.results[BAR].add("s9"), "several result ids for one thing"),
        (lambda o: o.bodies[BAR].add(b"[]"), "results with one id that say different things"),
        (lambda o: o.bodies.update({ARTICLE: {b"[]"}}), "1 results say something else: sentiment VCB n1"),
        (lambda o: o.alerts.pop(ALERT), "1 alerts missing: VCB buy 2025-07-28T09:16:00+07:00 +0.6000"),
        (lambda o: o.stored_alerts.clear(), "1 alerts are in only one of topic and store"),
        (lambda o: o.alerts[ALERT].add("b2"), "one alert has several ids"),
        (lambda o: setattr(o, "lag", 3), "lag is 3"),
        (lambda o: setattr(o, "dead_letters", 1), "1 dead letters"),
    ],
)
def test_each_difference_is_named(calm: Outcome, stormy: Outcome, change: object, said: str) -> None:
    change(stormy)  # type: ignore[operator]
    assert any(line.startswith(said) for line in differences(calm, stormy)), differences(calm, stormy)
