"""One producer for each codec: both client libraries compress per producer, and topics differ in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import TopicSpec

_Producer = TypeVar("_Producer")


class ByCodec(Generic[_Producer]):
    """Producers made at first use. May be used by any thread."""

    def __init__(
        self, settings: KafkaSettings, topics: Mapping[str, TopicSpec], connect: Callable[[str], _Producer]
    ) -> None:
        """``connect`` makes the producer of one codec."""
        self._of_all = settings.producer.compression
        self._of_topic = {settings.topic(name): spec.compression for name, spec in topics.items()}
        self._connect = connect
        self._producers: dict[str, _Producer] = {}
        self._lock = threading.Lock()

    def of(self, topic: str) -> _Producer:
        """Return the producer of the topic's codec. Raises what ``connect`` raises."""
        codec = self._of_all or self._of_topic.get(topic, "none")
        producer = self._producers.get(codec)
        if producer is None:
            with self._lock:
                producer = self._producers.get(codec)
                if producer is None:
                    producer = self._producers[codec] = self._connect(codec)
        return producer

    def made(self) -> list[_Producer]:
        """Return those that there are."""
        return list(self._producers.values())

    def take(self) -> list[_Producer]:
        """Return those that there are; the next use makes new ones."""
        producers, self._producers = self.made(), {}
        return producers
