"""``vnpulse topics``: what the cluster's topics should be, are, and lack."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out, running_settings
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.launcher import apply_topics, prefixed_topics
from vnpulse.topics import TopicChange, plan

app = typer.Typer(
    no_args_is_help=True, help="Create, compare and describe the topics of configs/topics.yaml."
)


@app.command("apply")
def apply(config: ConfigOption = DEFAULT) -> None:
    """Create what is missing and update what differs. Repeating it is harmless."""
    changes, remarks = apply_topics(running_settings(config))
    _say(changes, remarks)
    done = sum(change.possible for change in changes)
    out.print(f"{done} changes applied" if done else "nothing to change")


@app.command("diff")
def diff(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show what `apply` would do; exit code 1 if there is anything."""
    settings = running_settings(config)
    wanted = prefixed_topics(settings)
    with KafkaAdmin(settings.kafka) as admin:
        changes, remarks = plan(wanted, admin.topics(wanted), admin.broker_count())
    if as_json:
        out.print_json(json.dumps([asdict(change) for change in changes]))
    else:
        _say(changes, remarks)
        if not changes:
            out.print("no differences")
    if changes:
        raise typer.Exit(1)


@app.command("describe")
def describe(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show the topics as the cluster has them."""
    settings = running_settings(config)
    wanted = prefixed_topics(settings)
    with KafkaAdmin(settings.kafka) as admin:
        states = admin.topics(wanted)
    if as_json:
        out.print_json(json.dumps({name: asdict(state) for name, state in states.items()}))
        return
    table = Table("topic", "partitions", "replication", "retention h", "cleanup", "our compression")
    for name, spec in wanted.items():
        state = states.get(name)
        if state is None:
            table.add_row(name, "missing", "", "", "", spec.compression)
            continue
        hours = int(state.configs["retention.ms"]) // 3_600_000
        cleanup = state.configs["cleanup.policy"]
        table.add_row(
            name, str(state.partitions), str(state.replication), str(hours), cleanup, spec.compression
        )
    out.print(table)


def _say(changes: list[TopicChange], remarks: object) -> None:
    for change in changes:
        mark = "" if change.possible else " (cannot be changed in place)"
        out.print(f"{change.topic}: {change.kind}: {change.detail}{mark}", soft_wrap=True)
    for remark in remarks if isinstance(remarks, list) else ():
        err.print(remark)
