"""Replay: send the sample at a multiple of market time."""

from __future__ import annotations

import threading
import time

from vnpulse.demo.sample import Sample
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.settings import Settings
from vnpulse.topics import NEWS, PRICES, load_topics

MINUTE_S = 60.0


class Replay:
    """Sends a sample minute by minute on a thread of its own.

    ``speed`` is how many times faster than the market; closed hours are skipped, so a trading day
    takes about 256 minutes / speed. 0 sends as fast as the broker takes it.
    """

    def __init__(self, sample: Sample, settings: Settings, speed: float) -> None:
        self._sample = sample
        self._settings = settings
        self._speed = speed
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)
        self.bars_sent = 0
        self.news_sent = 0
        self.minutes_sent = 0
        self.finished = False
        self.failure: Exception | None = None

    @property
    def market_time_ms(self) -> int:
        """Return the market minute that was sent last."""
        return self._sample.minutes[max(0, self.minutes_sent - 1)]

    def start(self) -> None:
        """Begin sending."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop sending and wait for what is under way."""
        self._cancel.set()
        self._thread.join()

    def _run(self) -> None:
        producer = StockKafkaProducer(self._settings.kafka, load_topics(), "vnpulse-replay")
        try:
            self._send(producer)
            producer.flush()
            self.finished = True
        except Exception as error:
            # Reported by whoever watches: a thread has nobody to raise to.
            self.failure = error
        finally:
            producer.close()

    def _send(self, producer: StockKafkaProducer) -> None:
        prices, news = self._settings.kafka.topic(PRICES), self._settings.kafka.topic(NEWS)
        began = time.monotonic()
        for index, _ in enumerate(self._sample.minutes):
            if self._speed > 0:
                due = began + index * MINUTE_S / self._speed
                if self._cancel.wait(max(0.0, due - time.monotonic())):
                    return
            elif self._cancel.is_set():
                return
            for key, value in self._sample.news[index]:
                producer.send(news, key, value)
            for key, value in self._sample.bars[index]:
                producer.send(prices, key, value)
            self.bars_sent += len(self._sample.bars[index])
            self.news_sent += len(self._sample.news[index])
            self.minutes_sent = index + 1
