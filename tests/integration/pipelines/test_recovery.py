"""Actors that are killed while bars flow: everything is stored and analysed, nothing is there twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.pipelines.flow import flowing
from tests.integration.pipelines.outcome import as_stored, await_results, distinct_ids, stored
from tests.integration.trial import Trial
from vnpulse.topics import PRICES

VICTIMS = {
    "the consumer of prices": ("KA", lambda t: f"storage/{t.topic(PRICES)}/0-9"),
    "the technical analyzer": ("KB", lambda t: "technical/0"),
    "the consumer of triggers": ("KC", lambda t: f"analysis/{t.topic('analysis_triggers')}/0-2"),
    "the consumer of results": ("KD", lambda t: f"aggregation/{t.topic('analysis_results')}/0-4"),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_an_actor_killed_while_bars_flow_costs_nothing(running: Trial, victim: str) -> None:
    prefix, name_of = VICTIMS[victim]
    name_of: Callable[[Trial], str]
    symbols = [f"{prefix}{i}" for i in range(4)]
    dead_letters = len(running.dead_letters(PRICES))
    with flowing(running, symbols) as sent:
        running.kill_actor(name_of(running))
    await_results(running, sent)
    assert running.drained()
    for symbol in symbols:
        mine = [b for b in sent if b.symbol == symbol]
        assert stored(running, symbol) == as_stored(mine)
        ids = distinct_ids(running, symbol)
        assert ids.keys() == {b.time for b in mine}
        assert {len(of_bar) for of_bar in ids.values()} == {1}
    assert len(running.dead_letters(PRICES)) == dead_letters
