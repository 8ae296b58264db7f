"""`vnpulse metrics` as a process, and `vnpulse bench kafka`."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient

from tests.integration.trial import BIN, Trial
from tests.integration.waiting import eventually


@pytest.fixture
def endpoint(quiet: Trial) -> Iterator[str]:
    """The address that the process says it serves."""
    command = [str(BIN / "vnpulse"), "metrics", "--port", "0", "--period", "1", "--config", str(quiet.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_the_endpoint_serves_prometheus_what_the_broker_says(quiet: Trial, endpoint: str) -> None:
    def scrape() -> str:
        with urllib.request.urlopen(endpoint, timeout=30) as answer:
            return str(answer.read(), "utf-8")

    assert eventually(lambda: "vnpulse_kafka_up 1.0" in scrape())
    text = scrape()
    assert "# TYPE vnpulse_kafka_group_lag gauge" in text
    assert f'topic="{quiet.topic("alerts")}"' in text
    assert "vnpulse_store_up 1.0" in text
    assert "python_" not in text, "only what is ours"


def test_a_port_that_is_taken_is_one_line(quiet: Trial, endpoint: str) -> None:
    port = endpoint.rpartition(":")[2].removesuffix("/metrics")
    done = quiet.vnpulse("metrics", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port\n"
    )


def test_bench_measures_each_client_and_leaves_nothing(quiet: Trial) -> None:
    done = quiet.vnpulse(
        *("bench", "kafka", "--profile", "high_throughput", "--records", "1000", "--json"),
        *("--client", "kafka-python", "--client", "confluent"),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["profile"], row["client"]) for row in rows] == [
        ("high_throughput", client) for client in ("kafka-python", "confluent")
    ]
    for row in rows:
        assert row["records"] == 1_000
        figures = [value for name, value in row.items() if name.endswith(("_s", "_ms", "_us"))]
        assert len(figures) == 6
        assert min(figures) > 0
    admin = KafkaAdminClient(bootstrap_servers=quiet.stack.kafka_bootstrap)
    try:
        assert eventually(lambda: not [t for t in admin.list_topics() if "bench-" in str(t)])
    finally:
        admin.close()
