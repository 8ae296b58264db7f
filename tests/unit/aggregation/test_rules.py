"""Rules load strictly, and an episode fires once until it is armed again."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vnpulse.aggregation.rules import MINUTE_MS, Episode, Rule, load_rules
from vnpulse.errors import SettingsError

NOON_MS = 1_753_678_800_000


def rule(**changes: Any) -> Rule:
    fields: dict[str, Any] = {
        "name": "buy",
        "alert_type": "buy_signal",
        "input": "final_score",
        "fire_above": 0.5,
        "rearm": 0.2,
        "priority": {"medium": 0.0},
    }
    return Rule(**{name: value for name, value in (fields | changes).items() if value is not ...})


def fall(**changes: Any) -> Rule:
    return rule(fire_above=..., fire_below=-4.0, rearm=-2.5, input="day_change_pct", **changes)


def fires(of: Rule, values: list[float], minutes_apart: int = 1, confidence: float = 1.0) -> list[int]:
    """Return the indices of the values at which the rule fires."""
    episode = Episode()
    return [
        i
        for i, value in enumerate(values)
        if episode.step(of, value, confidence, NOON_MS + i * minutes_apart * MINUTE_MS)
    ]


def test_a_rule_fires_once_while_its_input_stays_beyond_the_threshold() -> None:
    assert fires(rule(), [0.1, 0.5, 0.6, 0.9, 0.51]) == [1]


def test_a_value_at_the_threshold_fires_and_one_just_below_does_not() -> None:
    assert fires(rule(), [0.4999999, 0.5]) == [1]
    assert fires(fall(), [-3.9999999, -4.0]) == [1]


def test_coming_back_below_the_threshold_is_not_enough_to_fire_again() -> None:
    assert fires(rule(), [0.6, 0.49, 0.6, 0.21, 0.6]) == [0]


def test_coming_back_past_rearm_lets_it_fire_again() -> None:
    assert fires(rule(), [0.6, 0.2, 0.6, -0.9, 0.7]) == [0, 2, 4]


def test_a_rule_that_fires_below_works_the_other_way_round() -> None:
    assert fires(fall(), [0.0, -4.1, -6.0, -2.6, -5.0, -2.5, -4.0]) == [1, 6]


def test_a_streak_must_not_be_interrupted() -> None:
    assert fires(rule(for_results=3), [0.6, 0.6, 0.4, 0.6, 0.6, 0.6, 0.6]) == [5]


def test_a_streak_starts_anew_after_rearming() -> None:
    assert fires(rule(for_results=2), [0.6, 0.6, 0.1, 0.6, 0.1, 0.6, 0.6]) == [1, 6]


def test_the_cooldown_holds_back_a_second_alert_in_market_time() -> None:
    assert fires(rule(cooldown_minutes=10), [0.6, 0.1, 0.6, 0.1, 0.6], minutes_apart=4) == [0, 4]


def test_the_cooldown_ends_to_the_millisecond() -> None:
    cooling = rule(cooldown_minutes=10)
    episode = Episode(armed=True, fired_ms=NOON_MS)
    assert not episode.step(cooling, 0.6, 1.0, NOON_MS + 10 * MINUTE_MS - 1)
    assert episode.step(cooling, 0.6, 1.0, NOON_MS + 10 * MINUTE_MS)


def test_what_was_held_back_by_the_cooldown_fires_when_it_ends_if_the_input_is_still_there() -> None:
    assert fires(rule(cooldown_minutes=3), [0.6, 0.1, 0.6, 0.6, 0.6]) == [0, 3]


def test_uncertain_values_neither_fire_nor_count_nor_rearm() -> None:
    careful = rule(min_confidence=0.5, for_results=2)
    episode = Episode()
    steps = [(0.9, 0.4), (0.9, 0.5), (0.9, 0.1), (-0.9, 0.1), (0.9, 0.5), (0.0, 0.49), (0.9, 0.9)]
    fired = [episode.step(careful, v, c, NOON_MS + i) for i, (v, c) in enumerate(steps)]
    assert fired == [False, False, False, False, True, False, False]
    assert not episode.armed


@given(st.lists(st.floats(-1, 1), max_size=60), st.integers(1, 4), st.integers(0, 20))
def test_between_two_alerts_the_input_always_came_back_and_the_cooldown_passed(
    values: list[float], for_results: int, cooldown: int
) -> None:
    tried = rule(for_results=for_results, cooldown_minutes=cooldown)
    fired = fires(tried, values)
    for index in fired:
        assert all(value >= 0.5 for value in values[index - for_results + 1 : index + 1])
        assert index + 1 >= for_results
    for earlier, later in pairwise(fired):
        assert min(values[earlier:later]) <= 0.2
        assert later - earlier >= cooldown


@pytest.mark.parametrize(
    ("value", "level"), [(0.5, "medium"), (0.59, "medium"), (0.6, "high"), (0.8, "critical"), (1, "critical")]
)
def test_the_priority_is_the_highest_that_the_size_of_the_input_reaches(value: float, level: str) -> None:
    graded = rule(priority={"critical": 0.8, "medium": 0.0, "high": 0.6})
    assert graded.priority_of(value) == graded.priority_of(-value) == level


def test_below_every_level_the_lowest_named_one_counts() -> None:
    assert rule(priority={"critical": 0.9, "high": 0.7}).priority_of(0.5) == "high"


def test_the_shipped_rules_load() -> None:
    book = load_rules()
    assert {r.alert_type for r in book.rules} == {"buy_signal", "sell_signal", "risk_alert"}


RULES = """\
# Rules of our own: those shipped are tuned.
version: "1"
weights: {technical: 0.65, sentiment: 0.35}
sentiment_half_life_minutes: 720
recommendation: {buy_above: 0.2, sell_below: -0.2}
target_atr: 1.5
rules:
  - name: buy
    alert_type: buy_signal
    input: final_score
    fire_above: 0.5
    rearm: 0.2
    for_results: 2
    min_confidence: 0.35
    cooldown_minutes: 120
    priority: {medium: 0.0, high: 0.6, critical: 0.8}
  - name: sell
    alert_type: sell_signal
    input: final_score
    fire_below: -0.5
    rearm: -0.2
    priority: {medium: 0.0}
  - name: sharp_fall
    alert_type: risk_alert
    input: day_change_pct
    fire_below: -4.0
    rearm: -2.5
    priority: {high: 0.0, critical: 6.0}
"""


def mistake(tmp_path: Path, old: str, new: str) -> list[str]:
    """Load the rules with ``old`` replaced once; return the lines of what is wrong."""
    assert old in RULES
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_rules(path)
    return str(caught.value).splitlines()


def line_of(text: str) -> int:
    return RULES[: RULES.index(text)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        pytest.param("fire_above: 0.5", "fire_abov: 0.5", "fire_above", id="misspelt key"),
        pytest.param("fire_above: 0.5", "fire_above: high", 'was "high"', id="a word for a number"),
        pytest.param("for_results: 2", "for_results: 0", "was 0", id="no results"),
        pytest.param("min_confidence: 0.35", "min_confidence: 35", "was 35", id="confidence in per cent"),
        pytest.param("alert_type: buy_signal", "alert_type: buy", "buy_signal", id="alert type"),
        pytest.param("input: day_change_pct", "input: change", "day_change_pct", id="input"),
        pytest.param("cooldown_minutes: 120", "cooldown_minutes: -1", "was -1", id="negative cooldown"),
        pytest.param("name: sharp_fall", "name: Sharp fall", "Sharp fall", id="name with a blank"),
        pytest.param("technical: 0.65", "technical: 0", "was 0", id="weight zero"),
        pytest.param("buy_above: 0.2", "buy_above: -0.2", "was -0.2", id="buy below zero"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_line(tmp_path: Path, old: str, new: str, named: str) -> None:
    lines = mistake(tmp_path, old, new)
    assert len(lines) == 1
    assert lines[0].startswith(f"{tmp_path / 'rules.yaml'}:{line_of(old)}: ")
    assert named in lines[0]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        pytest.param("rearm: 0.2", "rearm: 0.5", "rearm was 0.5", id="rearm at the threshold"),
        pytest.param("rearm: -0.2", "rearm: -0.6", "rearm was -0.6", id="rearm beyond fire_below"),
        pytest.param("    fire_above: 0.5\n", "", "fire_above or fire_below", id="neither threshold"),
        pytest.param("fire_above: 0.5", "fire_above: 0.5\n    fire_below: -1", "one of them", id="both"),
        pytest.param("name: sell", "name: buy", "buy", id="a name twice"),
        pytest.param("{medium: 0.0, high: 0.6, critical: 0.8}", "{}", "at least one level", id="no priority"),
        pytest.param("fire_above: 0.5", "fire_above: .nan", "", id="a threshold that is no number"),
        pytest.param("target_atr: 1.5", "target_atr: .inf", "", id="a target infinitely far away"),
        pytest.param("{technical: 0.65, sentiment: 0.35}", "{}", "weights", id="no weights"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path: Path, old: str, new: str, named: str) -> None:
    lines = mistake(tmp_path, old, new)
    assert any(named in line for line in lines)


def test_every_mistake_is_named_not_only_the_first(tmp_path: Path) -> None:
    data = yaml.safe_load(RULES)
    data["rules"][0]["for_results"] = 0
    data["rules"][2]["input"] = "price"
    data["target_atr"] = -1
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_rules(path)
    assert len(str(caught.value).splitlines()) == 3
