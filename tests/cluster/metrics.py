"""What Prometheus finds on the endpoints of a cluster, and what the dashboard and the rules ask of it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from vnpulse.configuration import CONFIG_DIR

ONLY_IN_TROUBLE = {
    "ray_vnpulse_kafka_producer_errors_total",
    "ray_vnpulse_kafka_transactions_aborted_total",
    "ray_vnpulse_kafka_consumer_lost_records_total",
    "ray_vnpulse_kafka_consumer_pauses_total",
    "ray_vnpulse_aggregation_incomplete_results_total",
    "ray_vnpulse_aggregation_late_results_total",
}
"""A counter begins with its first event."""


def asked_of_ray() -> set[str]:
    """Return the series of Ray's endpoints that the Grafana dashboard and the alerting rules name."""
    folder = CONFIG_DIR / "monitoring"
    panels = json.loads((folder / "grafana-dashboard.json").read_text())["panels"]
    groups = yaml.safe_load((folder / "alerts.yaml").read_text())["groups"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    queries += [rule["expr"] for group in groups for rule in group["rules"]]
    return {name for query in queries for name in re.findall(r"\bray_vnpulse_[a-z_]+\b", query)}


def scrape(endpoints: Iterable[str]) -> list[Sample]:
    """Return all samples of our own metrics, as Prometheus reads them: without any token."""
    samples = []
    for endpoint in endpoints:
        with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            samples += [s for s in family.samples if s.name.startswith("ray_vnpulse_")]
    return samples
