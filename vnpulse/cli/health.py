"""``vnpulse health`` and ``vnpulse lag``."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, out, running_settings
from vnpulse.embedded.errors import EmbeddedStackError
from vnpulse.errors import VnpulseError
from vnpulse.kafka.health import DEADLINE_S, RoundTrip, round_trip
from vnpulse.kafka.lags import LagReader
from vnpulse.serialization.codecs import open_codecs
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore

STATUS_STALE_S = 10.0
"""The supervisor writes every second; ten without a word means that it is gone or hangs."""

RAY_TIMEOUT_S = 5.0
PIPELINES = ("storage", "analysis", "aggregation", "notification")


app = typer.Typer()


@app.callback(invoke_without_command=True)
def health(context: typer.Context, config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Check the broker (a round trip), the store, Ray and each pipeline; exit code 0 if all are well."""
    if context.invoked_subcommand is not None:
        return
    checks = _checks(config)
    if as_json:
        rows = {name: {"ok": ok, "detail": detail} for name, (ok, detail) in checks.items()}
        out.print_json(json.dumps({"ok": all(ok for ok, _ in checks.values()), "checks": rows}))
    else:
        for name, (ok, detail) in checks.items():
            mark = "[green]ok  [/green]" if ok else "[red]FAIL[/red]"
            out.print(f"{mark} {name:<13}", end="")
            out.print(detail, markup=False, soft_wrap=True)
    if not all(ok for ok, _ in checks.values()):
        raise typer.Exit(1)


@app.command("kafka")
def kafka(
    config: ConfigOption = DEFAULT,
    deadline: Annotated[
        float, typer.Option(min=0.1, max=600, help="Seconds for all of it, connecting included.")
    ] = DEADLINE_S,
    as_json: JsonOption = False,
) -> None:
    """Produce a record to `health-check` and read it back, each way timed; exit code 0 if that works."""
    settings = running_settings(config).kafka
    try:
        trip = round_trip(settings, deadline)
    except VnpulseError as error:
        if as_json:
            out.print_json(json.dumps({"ok": False, "error": str(error)}))
            raise typer.Exit(1) from None
        raise
    if as_json:
        out.print_json(json.dumps({"ok": True, **asdict(trip)}))
    else:
        out.print(f"ok: {_described(trip)}")


def _checks(config: Path) -> dict[str, tuple[bool, str]]:
    try:
        settings = running_settings(config)
    except EmbeddedStackError as error:
        return {"stack": (False, str(error))}
    # At once: each may wait for its own timeout when what it asks is away.
    with ThreadPoolExecutor() as threads:
        kafka = threads.submit(_check, lambda: _kafka(settings))
        store = threads.submit(_check, lambda: StatusStore(connect(settings.store)).ping())
        ray = threads.submit(_check, lambda: _ray(settings))
        schemas = threads.submit(_check, lambda: _schemas(settings))
        pipelines = threads.submit(_pipelines, settings)
    checks = {"kafka": kafka.result(), "store": store.result(), "ray": ray.result()}
    if "avro" in settings.serialization.formats.values():
        checks["schemas"] = schemas.result()
    return checks | pipelines.result()


def _check(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except VnpulseError as error:
        return False, str(error)


def _kafka(settings: Settings) -> str:
    return _described(round_trip(settings.kafka))


def _described(trip: RoundTrip) -> str:
    return f"produce {trip.produce_ms:.0f} ms, consume {trip.consume_ms:.0f} ms"


def _schemas(settings: Settings) -> str:
    with closing(open_codecs(settings)) as codecs:
        missing = codecs.unregistered()
    if missing:
        raise VnpulseError(f"not registered: {', '.join(missing)}; run: vnpulse schemas register")
    return f"{len(codecs.avro_topics)} topics in Avro, all schemas registered"


def _ray(settings: Settings) -> str:
    url = settings.ray.dashboard_url
    if url is None:
        return "not checked: ray.dashboard_url is not configured"
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=RAY_TIMEOUT_S) as answer:
            version = json.load(answer).get("ray_version", "?")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise VnpulseError(f"the dashboard at {url} does not answer: {error}") from None
    return f"Ray {version}, dashboard {url}"


def _pipelines(settings: Settings) -> dict[str, tuple[bool, str]]:
    try:
        rows = StatusStore(connect(settings.store)).read()
    except VnpulseError as error:
        return dict.fromkeys(PIPELINES, (False, f"unknown: {error}"))
    collecting = settings.collection.enabled or any(str(r["name"]).startswith("collection/") for r in rows)
    return {name: _pipeline(name, rows) for name in (*PIPELINES, *(("collection",) if collecting else ()))}


def _pipeline(name: str, rows: list[dict[str, Any]]) -> tuple[bool, str]:
    now_s = time.time()
    mine = [row for row in rows if str(row["name"]).startswith(f"{name}/")]
    if not mine:
        return False, "not running; start it with `vnpulse up`"
    troubles = []
    for row in mine:
        age_s = now_s - row["updated_s"]
        if age_s > STATUS_STALE_S:
            troubles.append(f"{row['name']}: nothing heard for {age_s:.0f} s")
        elif row["status"] != "running":
            troubles.append(f"{row['name']}: {row['status']} {row['error']}".rstrip())
        elif row.get("trouble"):
            troubles.append(f"{row['name']}: {row['trouble']}")
    if troubles:
        return False, "; ".join(troubles)
    records = sum(row.get("records", 0) for row in mine)
    restarts = sum(row["restarts"] for row in mine)
    detail = f"{len(mine)} actor(s), {records} records, {restarts} restarts"
    remarks = [
        f"{str(row['name']).removeprefix('collection/')}: {_remark(row)}" for row in mine if _remark(row)
    ]
    return True, "; ".join([detail, *remarks])


def _remark(row: dict[str, Any]) -> str:
    """Return what a collector says of itself, and what it had to refuse and why."""
    rejected = {
        reason.removeprefix("rejected_"): count
        for reason, count in row.get("counts", {}).items()
        if reason.startswith("rejected_")
    }
    refused = [f"rejected {', '.join(f'{count} {reason}' for reason, count in rejected.items())}"]
    return ", ".join([*filter(None, [row.get("remark", "")]), *(refused if rejected else [])])


def lag(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Show how far each consumer group is behind, and what retention removed before it was read."""
    with LagReader(running_settings(config).kafka) as reader:
        rows = reader.read()
    if as_json:
        listed = [
            {
                "group": r.group,
                "topic": r.topic,
                "partition": r.partition,
                "begin": r.begin,
                "committed": r.committed,
                "end": r.end,
                "lag": r.lag,
                "expired": r.expired,
            }
            for r in rows
        ]
        out.print_json(json.dumps(listed))
        return
    table = Table("group", "topic", "partitions", "records", "lag", "largest", "expired")
    for topic in dict.fromkeys(row.topic for row in rows):
        mine = [row for row in rows if row.topic == topic]
        worst = max(mine, key=lambda row: row.lag)
        table.add_row(
            mine[0].group,
            topic,
            str(len(mine)),
            str(sum(r.end - r.begin for r in mine)),
            str(sum(r.lag for r in mine)),
            f"{worst.lag} on {worst.partition}" if worst.lag else "",
            str(sum(r.expired for r in mine) or ""),
        )
    out.print(table)
