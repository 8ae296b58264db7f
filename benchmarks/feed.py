"""Bars as a collector sends them, at a rate."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import threading
import time
from collections.abc import Iterator

from benchmarks.warm_up import minute_ms
from vnpulse.kafka.clients import open_producer
from vnpulse.messages import VIETNAM, PriceBar, encode
from vnpulse.settings import Settings
from vnpulse.topics import PRICES, load_topics


def _bars(symbols: int, first_minute: int) -> Iterator[PriceBar]:
    for minute in itertools.count(first_minute):
        opened = dt.datetime.fromtimestamp(minute_ms(minute) / 1000, VIETNAM)
        closed = opened + dt.timedelta(minutes=1)
        for number in range(symbols):
            close = round(25.0 + math.sin((minute + number) / 9), 2)
            prices = (close, round(close + 0.1, 2), round(close - 0.1, 2), close)
            yield PriceBar(f"S{number:04}", opened, *prices, 100 + minute, closed)


class Feed:
    """Publishes minute after minute of ``symbols`` symbols at ``rate`` bars a second, on a thread."""

    def __init__(self, settings: Settings, symbols: int, rate: float, first_minute: int = 0) -> None:
        self._settings = settings
        self._bars = _bars(symbols, first_minute)
        self._rate = rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        producer = open_producer(self._settings.kafka, load_topics(), "benchmark")
        topic = self._settings.kafka.topic(PRICES)
        began = time.monotonic()
        while not self._stopping.wait(0.1):
            due = int((time.monotonic() - began) * self._rate) - self.sent
            for bar in itertools.islice(self._bars, due):
                producer.send(topic, bar.symbol, encode(bar))
            producer.flush()
            self.sent += due
        producer.close()

    def stop(self) -> int:
        """End; return how many bars were sent."""
        self._stopping.set()
        self._thread.join()
        return self.sent
