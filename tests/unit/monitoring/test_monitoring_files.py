"""Alert rules, dashboard and documentation name only what exists."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer
import yaml

from vnpulse.cli.app import app
from vnpulse.configuration import CONFIG_DIR
from vnpulse.metric_families import FAMILIES

MONITORING = CONFIG_DIR / "monitoring"
DOCS = CONFIG_DIR.parent / "docs"
RULES = [
    rule
    for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana-dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]

SERIES = {
    name
    for family in FAMILIES.values()
    for name in (
        [f"{family.series}_{suffix}" for suffix in ("bucket", "sum", "count")]
        if family.kind == "histogram"
        else [family.series]
    )
}


def series_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:ray_)?vnpulse_[a-z_]+\b", text))


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(), re.M)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert series_in(rule["expr"])
    assert series_in(rule["expr"]) <= SERIES
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook"].removeprefix("docs/").partition("#")
    assert anchor in anchors(page)


def test_labels_in_summaries_are_labels_of_the_query() -> None:
    for rule in RULES:
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
            whole = [family.labels for family in FAMILIES.values() if family.series in rule["expr"]]
            assert any(label in names for names in (kept or whole)), rule["alert"]


def test_the_dashboard_asks_for_metrics_that_exist_and_shows_all_of_them() -> None:
    shown = {name for query in QUERIES for name in series_in(query)}
    assert shown <= SERIES
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown} | shown
    assert {family.series for family in FAMILIES.values()} <= bases
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)


def test_prometheus_is_told_where_the_rules_are() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    assert all((MONITORING / name).is_file() for name in config["rule_files"])
    assert {job["job_name"] for job in config["scrape_configs"]} == {"vnpulse", "ray"}


def test_the_table_of_metrics_has_all_of_them_with_their_labels() -> None:
    page = (DOCS / "monitoring.md").read_text()
    assert series_in(page) <= SERIES | {family.series for family in FAMILIES.values()}
    for family in FAMILIES.values():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{family.series}` ")]
        assert f"| {', '.join(family.labels)} |" in row
        assert f"| {family.kind} |" in row


@pytest.mark.parametrize("page", ["operations.md", "monitoring.md"])
def test_every_metric_and_command_that_a_page_names_exists(page: str) -> None:
    text = (DOCS / page).read_text()
    assert series_in(text) <= SERIES | {family.series for family in FAMILIES.values()}
    for words in re.findall(r"`vnpulse ([a-z][^`]*)`", text):
        command = typer.main.get_command(app)
        for word in words.split():
            subcommands = getattr(command, "commands", {})
            names = word.split("|")
            if not subcommands or not set(names) <= subcommands.keys():
                # An argument or option, which only a command without sub-commands of its own takes first.
                assert not subcommands or getattr(command, "invoke_without_command", False), words
                break
            command = subcommands[names[0]]


@pytest.mark.parametrize("page", ["operations.md", "monitoring.md"])
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text()):
        path, _, anchor = target.partition("#")
        assert (DOCS / path).exists(), target
        if anchor:
            assert anchor in anchors(path or page), target
