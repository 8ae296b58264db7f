"""What the actors measure appears on the endpoints of the Ray cluster."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.integration.market import bar, keyed
from tests.integration.pipelines.outcome import await_results
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.topics import ALERTS, CONSUMED, PRICES, TRIGGERS


def samples(trial: Trial) -> Iterator[Sample]:
    """Scrape every endpoint that the dashboard tells Prometheus of."""
    with urllib.request.urlopen(f"{trial.stack.ray_dashboard_url}/api/prometheus/sd", timeout=30) as answer:
        targets = {target for group in json.load(answer) for target in group["targets"]}
    for target in sorted(targets):
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=30) as answer:
            for family in text_string_to_metric_families(str(answer.read(), "utf-8")):
                yield from family.samples


def total(trial: Trial, series: str, **labels: str) -> float:
    return sum(s.value for s in samples(trial) if s.name == series and labels.items() <= s.labels.items())


def test_reading_sending_and_dead_letters_are_counted_by_topic(running: Trial) -> None:
    bars = [bar("MTR", i) for i in range(20)]
    running.publish(PRICES, [*keyed(bars), ("MTR", b"not json")])
    await_results(running, bars)
    prices, triggers = running.topic(PRICES), running.topic(TRIGGERS)
    group = running.settings.kafka.group(CONSUMED[PRICES])

    assert eventually(
        lambda: total(running, "ray_vnpulse_kafka_consumer_records_total", topic=prices, group=group) >= 21
    )
    assert eventually(
        lambda: total(running, "ray_vnpulse_kafka_dead_letters_total", topic=prices, reason="not-json") >= 1
    )
    assert total(running, "ray_vnpulse_kafka_consumer_bytes_total", topic=prices) > 0
    assert total(running, "ray_vnpulse_kafka_consumer_assignments_total", topic=running.topic(ALERTS)) >= 1
    assert total(running, "ray_vnpulse_kafka_consumer_fetch_latency_seconds_count", topic=prices) > 0
    assert total(running, "ray_vnpulse_kafka_producer_records_total", topic=triggers) > 0
    assert total(running, "ray_vnpulse_kafka_producer_latency_seconds_count", topic=triggers) > 0
    assert total(running, "ray_vnpulse_kafka_producer_request_latency_seconds_count") > 0
