"""Actors that are killed while bars flow: everything is stored and analysed, nothing is there twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.market import bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, distinct_ids, stored
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.messages import PriceBar
from vnpulse.topics import PRICES

PACE_S = 0.02
"""Between two minutes of the flow: fast enough that any moment has records in flight."""

MOST_MINUTES = 400
"""Less than history_bars, so that an analyzer that was away can still be asked about all of them."""


@contextmanager
def flowing(trial: Trial, symbols: list[str]) -> Iterator[list[PriceBar]]:
    """Publish minute after minute of ``symbols`` on a thread; the list holds what was sent so far."""
    sent: list[PriceBar] = []
    stopping = threading.Event()

    def flow() -> None:
        for number in range(MOST_MINUTES):
            bars = [bar(symbol, number) for symbol in symbols]
            trial.publish(PRICES, keyed(bars))
            sent.extend(bars)
            if stopping.wait(PACE_S):
                return

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        assert eventually(lambda: len(sent) >= 5 * len(symbols))
        yield sent
        before = len(sent)
        assert eventually(lambda: len(sent) >= before + 5 * len(symbols) or not thread.is_alive())
    finally:
        stopping.set()
        thread.join()


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
