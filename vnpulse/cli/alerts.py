"""``vnpulse alerts``: follow, list and explain."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out, running_settings
from vnpulse.cli.times import epoch_ms
from vnpulse.decoding import decode_each
from vnpulse.errors import UserError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.messages import VIETNAM, Alert
from vnpulse.notification.channels import one_line
from vnpulse.serialization.codecs import open_codecs
from vnpulse.store.alerts import AlertStore
from vnpulse.store.connection import connect
from vnpulse.topics import ALERTS

app = typer.Typer(no_args_is_help=True, help="Follow, list and explain alerts.")

POLL_MS = 500
BEGINNING_MS = int(dt.datetime(2000, 1, 1, tzinfo=VIETNAM).timestamp() * 1000)


@app.command("tail")
def tail(
    config: ConfigOption = DEFAULT,
    beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All that the topic holds first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print alerts as they are made, until Ctrl-C."""
    settings = running_settings(config)
    topic = settings.kafka.topic(ALERTS)
    with KafkaAdmin(settings.kafka) as admin:
        states = admin.topics([topic])
    if topic not in states:
        raise UserError(f"topic {topic} does not exist; run: vnpulse topics apply")
    codecs = open_codecs(settings)
    decode = codecs.decoder(Alert)
    consumer = AssignedConsumer(settings.kafka, topic, range(states[topic].partitions), None, "vnpulse-tail")
    try:
        starts = consumer.beginning_offsets() if beginning else consumer.end_offsets()
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        while True:
            alerts: list[Alert] = []
            for batch in consumer.poll(POLL_MS):
                decoded, _, rejections = decode_each(batch.values, decode)
                alerts += decoded
                for rejection in rejections:
                    place = f"{topic}/{batch.partition}/{batch.offsets[rejection.row]}"
                    err.print(
                        f"{place}: {rejection.reason}: {rejection.message}", markup=False, soft_wrap=True
                    )
            for alert in sorted(alerts, key=lambda a: a.timestamp):
                line = msgspec.json.encode(alert).decode() if as_json else one_line(alert)
                out.print(line, markup=False, soft_wrap=True)
    finally:
        consumer.close()
        codecs.close()


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
    since: Annotated[str | None, typer.Option(help="Date or time (market time) from which on.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the latest alerts in the store, newest first."""
    store = AlertStore(connect(running_settings(config).store))
    alerts = store.recent(epoch_ms("--since", since) if since else BEGINNING_MS, limit, symbol)
    if as_json:
        out.print_json(json.dumps([msgspec.to_builtins(alert) for alert in alerts]))
        return
    if not alerts:
        out.print("no alerts")
        return
    table = Table(box=None)
    for name in ("id", "market time", "symbol", "type", "priority", "advice", "target"):
        table.add_column(name, no_wrap=True)
    table.add_column("why")
    for alert in alerts:
        target = "" if alert.data.target_price is None else f"{alert.data.target_price:g}"
        table.add_row(
            alert.alert_id[:8],
            f"{alert.timestamp:%m-%d %H:%M}",
            alert.symbol,
            alert.alert_type.removesuffix("_signal").removesuffix("_alert"),
            alert.priority,
            alert.data.recommendation,
            target,
            alert.message,
        )
    out.print(table)


@app.command("explain")
def explain(
    alert_id: Annotated[str, typer.Argument(help="An alert's id, or how it begins.")],
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show everything that an alert rests on."""
    store = AlertStore(connect(running_settings(config).store))
    alert = store.get(alert_id)
    if alert is None:
        matching = store.ids_starting(alert_id, BEGINNING_MS)
        if not matching:
            raise UserError(f"no alert {alert_id}; `vnpulse alerts list` shows the latest")
        if len(matching) > 1:
            raise UserError(
                f"{alert_id} begins {len(matching)} alerts: {', '.join(i[:13] for i in matching[:5])} ..."
            )
        alert = store.get(matching[0])
        assert alert is not None
    if as_json:
        out.print_json(msgspec.json.encode(alert).decode())
        return
    _print_explanation(alert)


def _print_explanation(alert: Alert) -> None:
    explanation = alert.data.explanation
    rule = explanation["rule"]
    when = f"{alert.timestamp:%Y-%m-%d %H:%M %z}"
    out.print(f"[bold]{alert.symbol} {alert.alert_type}[/bold], {alert.priority}, {when}")
    out.print(alert.message, markup=False)
    advice = f"advice {alert.data.recommendation}, final score {alert.data.final_score:+.3f}"
    if alert.data.target_price is not None:
        advice += f", target price {alert.data.target_price:g} thousand VND"
    out.print(advice)
    out.print(
        f"\nRule {rule['name']} (version {rule['version']}): {rule['condition']},"
        f" was {rule['value']:+.4g}, {rule['for_results']} result(s) in a row",
        markup=False,
    )
    parts = Table("analysis", "score", "confidence", "weight", "age factor", "share", "contribution", "model")
    for kind, part in explanation["components"].items():
        numbers = (part[k] for k in ("score", "confidence", "weight", "age_factor", "share", "contribution"))
        parts.add_row(kind, *(f"{number:+.3f}" for number in numbers), part["model_version"])
    out.print(parts)
    technical = explanation.get("technical")
    if technical:
        out.print(f"\nBar {technical['bar_time']} ({technical['interval']}), close {technical['close']:g}")
        _print_mapping(technical.get("components", {}))
        _print_mapping({"indicators": technical.get("indicators", {}), "daily": technical.get("daily") or {}})
    for article in explanation.get("articles", []):
        out.print(
            f"  article {article['news_id']}: {article['label']} {article['score']:+.2f}"
            f" (weight {article['weight']:.2f}) {article['title']}",
            markup=False,
            soft_wrap=True,
        )
    out.print("\nInput records")
    for record in explanation["inputs"]:
        out.print(f"  {record['topic']}/{record['partition']} offset {record['offset']}", markup=False)
    out.print(f"\n{alert.alert_id}")


def _print_mapping(groups: dict[str, Any]) -> None:
    for name, values in groups.items():
        shown = values if isinstance(values, dict) else {"": values}
        line = ", ".join(
            f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in shown.items()
        )
        out.print(f"  {name}: {line}", markup=False, soft_wrap=True)
