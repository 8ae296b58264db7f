"""Sends a recorded sample minute by minute, as far as it is allowed to."""

from __future__ import annotations

import threading

from vnpulse.demo.sample import Sample
from vnpulse.errors import VnpulseError
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.settings import Settings
from vnpulse.topics import NEWS, PRICES, load_topics

RETRY_PAUSE_S = 0.5

STEP_S = 0.002
"""Between what must not be in the log in the same millisecond, because one is after the other."""


class Feeder:
    """A collector that never gives up: a minute that the broker did not take is sent again.

    ``pace_s`` lies between two minutes. Sending a minute again may put a record into the log twice;
    that is one of the things that the rest must bear. News is in the log in its order and before the
    bars of its minute, in every run: what is decided depends on that order (vnpulse.aggregation.order).
    """

    def __init__(self, sample: Sample, settings: Settings, pace_s: float) -> None:
        self._sample = sample
        self._settings = settings
        self._pace_s = pace_s
        self._allowed = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self.sent = 0
        """Minutes that the broker has."""
        self.again = 0
        """Minutes that were sent more than once."""
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin sending what is allowed: nothing so far."""
        self._thread.start()

    def allow(self, minutes: int) -> None:
        """Let the first ``minutes`` minutes be sent."""
        with self._changed:
            self._allowed = minutes
            self._changed.notify()

    @property
    def finished(self) -> bool:
        """Say whether the whole sample is on the broker."""
        return self.sent == len(self._sample.minutes)

    def stop(self) -> None:
        """Stop sending and wait for what is under way."""
        self._stopping.set()
        with self._changed:
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        producer = StockKafkaProducer(self._settings.kafka, load_topics(), "vnpulse-feeder")
        try:
            self._feed(producer)
            producer.close()
        except Exception as error:
            # Reported by whoever watches: a thread has nobody to raise to.
            self.failure = error

    def _feed(self, producer: StockKafkaProducer) -> None:
        while not self._stopping.is_set() and not self.finished:
            with self._changed:
                self._changed.wait_for(lambda: self._allowed > self.sent or self._stopping.is_set())
            if self._stopping.is_set():
                return
            self._send(producer, self.sent)
            self._stopping.wait(self._pace_s)

    def _send(self, producer: StockKafkaProducer, minute: int) -> None:
        prices, news = self._settings.kafka.topic(PRICES), self._settings.kafka.topic(NEWS)
        while not self._stopping.is_set():
            try:
                for key, value in self._sample.news[minute]:
                    producer.send(news, key, value)
                    producer.flush()
                    self._stopping.wait(STEP_S)
                for key, value in self._sample.bars[minute]:
                    producer.send(prices, key, value)
                producer.flush()
                self._stopping.wait(STEP_S)
            except VnpulseError as error:
                if not error.retriable:
                    raise
                self.again += 1
                self._stopping.wait(RETRY_PAUSE_S)
            else:
                self.sent = minute + 1
                return
