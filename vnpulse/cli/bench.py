"""``vnpulse bench``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out, running_settings
from vnpulse.errors import UserError
from vnpulse.kafka.bench import Measurement, measure
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.kafka_profiles import load_profiles

app = typer.Typer(no_args_is_help=True, help="Measure the cluster at hand.")


@app.callback()
def _bench() -> None:
    """Keep ``kafka`` a sub-command although it is the only one."""


@app.command("kafka")
def kafka(
    config: ConfigOption = DEFAULT,
    profile: Annotated[
        list[str] | None, typer.Option(help="A profile; may be given several times. All of them if not.")
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(help="kafka-python or confluent; may be given twice. The configured one if not."),
    ] = None,
    records: Annotated[int, typer.Option(min=1_000, help="Records to produce and consume.")] = 100_000,
    size: Annotated[int, typer.Option(min=20, max=1_000_000, help="Bytes of a record's value.")] = 170,
    as_json: JsonOption = False,
) -> None:
    """Measure the tuning profiles, one after the other, each on a topic of its own that is deleted again.

    The records are the size of a bar; the pipelines' own topics are not touched.
    """
    settings = running_settings(config).kafka
    measured = []
    for tuned in _tunings(settings, profile or list(load_profiles()), client or [settings.client]):
        err.print(f"measuring {tuned.profile} with {tuned.client}")
        measured.append(measure(tuned, records, size))
    if as_json:
        out.print_json(json.dumps([asdict(row) for row in measured]))
    else:
        out.print(_table(measured))


def _tunings(settings: KafkaSettings, profiles: list[str], clients: list[str]) -> list[KafkaSettings]:
    known = {"--profile": list(load_profiles()), "--client": ["kafka-python", "confluent"]}
    for option, names in (("--profile", profiles), ("--client", clients)):
        for name in names:
            if name not in known[option]:
                raise UserError(f"{option}: was {name}, must be one of {', '.join(known[option])}")
    return [
        settings.tuned(profile).model_copy(update={"client": client})
        for profile in profiles
        for client in clients
    ]


def _table(measured: list[Measurement]) -> Table:
    table = Table(
        "profile",
        "client",
        "produced/s",
        "consumed/s",
        "p50 ms",
        "p99 ms",
        "CPU us produce",
        "CPU us consume",
    )
    for row in measured:
        table.add_row(
            row.profile,
            row.client,
            f"{row.produced_per_s:,.0f}",
            f"{row.consumed_per_s:,.0f}",
            f"{row.latency_p50_ms:.1f}",
            f"{row.latency_p99_ms:.1f}",
            f"{row.produce_cpu_us:.1f}",
            f"{row.consume_cpu_us:.1f}",
        )
    return table
