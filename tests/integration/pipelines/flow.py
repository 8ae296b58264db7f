"""Bars that keep coming while a test disturbs what reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.market import bar, keyed
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
