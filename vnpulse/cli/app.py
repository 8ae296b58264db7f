"""All commands, each from the module of its subject."""

from __future__ import annotations

from typing import Annotated

import typer

from vnpulse import __version__
from vnpulse.cli import (
    acls,
    alerts,
    backfill,
    bench,
    chaos,
    collect,
    dead_letters,
    demo,
    health,
    indicators,
    metrics,
    publish,
    schemas,
    security,
    sentiment,
    stack,
    status,
    topics,
)

app = typer.Typer(
    name="vnpulse",
    help="Watches the Vietnamese stock market and sends alerts that explain themselves.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vnpulse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave."),
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.command("up")(stack.up)
app.command("down")(stack.down)
app.command("status")(status.status)
app.command("stop")(status.stop)
app.command("scale")(status.scale)
app.command("restart")(status.restart)
app.add_typer(health.app, name="health")
app.command("lag")(health.lag)
app.add_typer(bench.app, name="bench")
app.command("chaos")(chaos.chaos)
app.command("metrics")(metrics.metrics)
app.add_typer(topics.app, name="topics")
app.add_typer(schemas.app, name="schemas")
app.add_typer(acls.app, name="acls")
app.add_typer(security.app, name="security")
app.add_typer(publish.app, name="publish")
app.command("trigger")(publish.trigger)
app.command("collect")(collect.collect)
app.command("backfill")(backfill.backfill)
app.command("indicators")(indicators.indicators)
app.add_typer(alerts.app, name="alerts")
app.add_typer(dead_letters.app, name="dlq")
app.add_typer(sentiment.app, name="sentiment")
