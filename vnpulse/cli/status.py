"""``vnpulse status``, ``stop``, ``scale`` and ``restart``: what runs, and what should."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out, running_settings
from vnpulse.errors import UserError, VnpulseError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.lags import LagReader
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.control import ControlStore
from vnpulse.store.status import StatusStore
from vnpulse.topics import ALERTS, NEWS, PRICES, RESULTS, TRIGGERS

POLL_PERIOD_S = 0.5
STALE_S = 10.0
"""The supervisor writes every second."""

TOPIC_OF = {
    "prices": PRICES,
    "news": NEWS,
    "analysis": TRIGGERS,
    "aggregation": RESULTS,
    "notification": ALERTS,
}
"""Which topic the hosts of a placement share."""

ANALYZERS = ("technical", "sentiment")
MOST_SHARDS = 10_000
AUTOMATIC = "auto"


def status(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show every actor: state, lag, last record, restarts, node, GPU; exit code 1 if not all run.

    "behind" is how long the oldest record that an actor has in hand has waited; "paused" says that it
    reads no more until that is done. Below: how many shards the analyzers have, and why.
    """
    settings = running_settings(config)
    rows = _rows(settings)
    if as_json:
        out.print_json(json.dumps(rows))
    elif not rows:
        err.print("nothing runs; start it with `vnpulse up`, or submit pipelines.run to Ray")
    else:
        out.print(_table(rows))
        pools = [pool for row in rows for pool in row["pools"]]
        if pools:
            out.print(_pools_table(pools))
    if not rows or any(row["state"] != "running" for row in rows):
        raise typer.Exit(1)


def _rows(settings: Settings) -> list[dict[str, Any]]:
    statuses = StatusStore(connect(settings.store)).read()
    lags: dict[tuple[str, int], int] = {}
    if statuses:
        with LagReader(settings.kafka) as reader:
            lags = {(row.topic, row.partition): row.lag for row in reader.read()}
    now_s = time.time()
    return [_row(status, lags, now_s) for status in statuses]


def _row(status: dict[str, Any], lags: dict[tuple[str, int], int], now_s: float) -> dict[str, Any]:
    age_s = now_s - status["updated_s"]
    topic, partitions = status.get("topic"), status.get("partitions", [])
    last_s = status.get("last_record_s", 0.0)
    stale = age_s > STALE_S
    return {
        "actor": status["name"],
        "state": "unknown" if stale else status["status"],
        "partitions": partitions,
        "lag": sum(lags.get((topic, p), 0) for p in partitions) if topic else None,
        "behind_s": max(status.get("behind_s", {}).values(), default=0.0) if topic else None,
        "paused": status.get("paused", False),
        "pauses": status.get("pauses", 0),
        "pools": status.get("pools", []),
        "last_record_s": round(now_s - last_s, 1) if last_s else None,
        "restarts": status["restarts"],
        "gave_up": status.get("gave_up", False),
        "node": status.get("node", ""),
        "pid": status.get("pid"),
        "gpus": status.get("gpus", []),
        "version": status.get("version", ""),
        "error": f"nothing heard for {age_s:.0f} s" if stale else status["error"],
    }


_COLOURS = {"running": "green", "starting": "cyan", "draining": "cyan", "degraded": "yellow"}


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("actor", "state", "lag", "behind", "last record", "restarts", "node", "pid", "GPU", "error")
    for row in rows:
        colour = _COLOURS.get(row["state"], "red")
        table.add_row(
            row["actor"],
            f"[{colour}]{row['state']}[/{colour}]",
            "" if row["lag"] is None else str(row["lag"]),
            _behind(row),
            "" if row["last_record_s"] is None else f"{row['last_record_s']:.0f} s ago",
            str(row["restarts"]),
            row["node"],
            str(row["pid"] or ""),
            ", ".join(row["gpus"]),
            row["error"],
        )
    return table


def _behind(row: dict[str, Any]) -> str:
    if not row["behind_s"]:
        return ""
    return f"{row['behind_s']:.0f} s{', paused' if row['paused'] else ''}"


def _pools_table(pools: list[dict[str, Any]]) -> Table:
    table = Table("analyzer", "shards", "wanted", "between", "why")
    for pool in pools:
        between = "by hand" if pool["by_hand"] else f"{pool['least']} and {pool['most']}"
        if not pool["by_hand"] and pool["least"] == pool["most"]:
            between = ""
        table.add_row(pool["pool"], str(pool["serving"]), str(pool["wanted"]), between, pool["why"])
    return table


def stop(
    config: ConfigOption = DEFAULT,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the last actor.", min=0)] = 120.0,
) -> None:
    """Have the pipelines finish what is in hand, commit, and end. The stack stays up."""
    settings = running_settings(config)
    database = connect(settings.store)
    statuses = StatusStore(database)
    if not statuses.read():
        out.print("nothing runs")
        return
    ControlStore(database).stop()
    give_up_at = time.monotonic() + wait
    while rows := statuses.read():
        if time.monotonic() > give_up_at:
            left = ", ".join(row["name"] for row in rows)
            raise VnpulseError(f"after {wait:.0f} s these have not ended: {left}")
        time.sleep(POLL_PERIOD_S)
    out.print("stopped")


def scale(
    counts: Annotated[
        list[str], typer.Argument(help="analysis=3, technical=2, technical=auto, ...", metavar="NAME=N...")
    ],
    config: ConfigOption = DEFAULT,
) -> None:
    """Set how many actors share a topic, or how many shards an analyzer has; survives restarts.

    Names: prices, news, analysis, aggregation, notification; technical, sentiment. Partitions move
    without a gap: who has them commits and ends before the next begins; a new shard is called when it
    has loaded what it must know. A number goes before the settings and before autoscaling, until
    NAME=auto gives it back to them.
    """
    wanted = dict(_parse(text) for text in counts)
    settings = running_settings(config)
    topic_of = TOPIC_OF | {"technical": PRICES}
    with KafkaAdmin(settings.kafka) as admin:
        topics = {name: settings.kafka.topic(topic_of[name]) for name in wanted if name in topic_of}
        states = admin.topics(topics.values())
    numbers = {name: number for name, number in wanted.items() if number is not None}
    for name, topic in topics.items():
        if topic not in states:
            raise UserError(f"topic {topic} is missing; run: vnpulse topics apply")
        most = states[topic].partitions
        if numbers.get(name, 0) > most:
            err.print(f"{name}={numbers[name]}: {topic} has {most} partitions, so {most} actors")
            numbers[name] = most
    control = ControlStore(connect(settings.store))
    automatic = wanted.keys() - numbers.keys()
    if automatic:
        control.unscale(automatic)
    if numbers:
        control.scale(numbers)
    out.print(", ".join(f"{name}={numbers.get(name, AUTOMATIC)}" for name in wanted))


def _parse(text: str) -> tuple[str, int | None]:
    name, equals, count = text.partition("=")
    if name not in (*TOPIC_OF, *ANALYZERS):
        raise UserError(f"{text}: was {name!r}, must be one of {', '.join((*TOPIC_OF, *ANALYZERS))}")
    if equals and count == AUTOMATIC:
        return name, None
    if not equals or not count.isascii() or not count.isdigit() or not 1 <= int(count) <= MOST_SHARDS:
        raise UserError(f"{text}: give a number from 1 to {MOST_SHARDS}, such as {name}=2, or {name}=auto")
    return name, int(count)


def restart(
    names: Annotated[list[str], typer.Argument(help="As `vnpulse status` shows them.", metavar="ACTOR...")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Start actors anew: those that were given up at once, those that run after they have drained."""
    database = connect(running_settings(config).store)
    known = {row["name"] for row in StatusStore(database).read()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"no such actor: {', '.join(unknown)}; vnpulse status shows their names")
    ControlStore(database).restart(names)
    out.print(f"restarting {', '.join(names)}")
