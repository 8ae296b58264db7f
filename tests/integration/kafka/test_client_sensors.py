"""Every single request of kafka-python's clients is timed, not an average of some."""

from __future__ import annotations

from tests.integration.kafka.conftest import OpenConsumer
from tests.integration.recorded_metrics import RecordedMetrics
from tests.integration.trial import Trial
from vnpulse.kafka.clients import open_producer


def test_fetches_and_requests_are_timed(trial: Trial, consume: OpenConsumer) -> None:
    topic = trial.make_topic("timed")
    notes = RecordedMetrics()
    fetches: list[float] = []
    consumer = consume(topic)
    consumer.observe_fetches(fetches.append)
    producer = open_producer(trial.settings.kafka, {}, "test", notes)
    for count in (1, 2):
        producer.send(topic, "VCB", b"x")
        producer.flush()
        while consumer.positions[0] < count:
            consumer.poll(200)
    producer.close()
    assert len(fetches) >= 2
    requests = notes.timings("kafka.producer.request_latency")
    assert len(requests) >= 2
    assert all(0 < seconds < 60 for seconds in (*fetches, *requests))
