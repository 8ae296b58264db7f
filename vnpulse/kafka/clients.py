"""Consumers and producers made with the client library that ``kafka.client`` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.measured import MeasuredConsumer
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.kafka.progress import Progress
from vnpulse.kafka.protocols import Consumer, Producer
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.metrics import NO_METRICS, Metrics
from vnpulse.topics import TopicSpec

# Where it is chosen only: its library takes 20 MB of every process.
if TYPE_CHECKING:
    from vnpulse.kafka.confluent_consumer import ConfluentConsumer
    from vnpulse.kafka.confluent_producer import ConfluentProducer


def open_consumer(
    settings: KafkaSettings,
    topic: str,
    partitions: Sequence[int],
    group: str | None,
    client_id: str,
    progress: Progress | None = None,
) -> Consumer:
    """Assign ``partitions`` of ``topic``; see AssignedConsumer for the arguments and what is raised."""
    return _consumer_class(settings)(settings, topic, partitions, group, client_id, progress=progress)


def open_measured_consumer(
    settings: KafkaSettings,
    topic: str,
    partitions: Sequence[int],
    group: str,
    client_id: str,
    progress: Progress,
    metrics: Metrics,
) -> MeasuredConsumer:
    """Do the same for a group whose reading is counted in ``metrics``."""
    consumer = open_consumer(settings, topic, partitions, group, client_id, progress)
    return MeasuredConsumer(consumer, group, metrics)


def open_producer(
    settings: KafkaSettings,
    topics: Mapping[str, TopicSpec],
    client_id: str,
    metrics: Metrics = NO_METRICS,
) -> Producer:
    """Return a producer that knows each topic's compression; see StockKafkaProducer."""
    return _producer_class(settings)(settings, topics, client_id, metrics)


def _consumer_class(settings: KafkaSettings) -> type[AssignedConsumer] | type[ConfluentConsumer]:
    if settings.client == "kafka-python":
        return AssignedConsumer
    from vnpulse.kafka.confluent_consumer import ConfluentConsumer

    return ConfluentConsumer


def _producer_class(settings: KafkaSettings) -> type[StockKafkaProducer] | type[ConfluentProducer]:
    if settings.client == "kafka-python":
        return StockKafkaProducer
    from vnpulse.kafka.confluent_producer import ConfluentProducer

    return ConfluentProducer
