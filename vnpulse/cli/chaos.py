"""``vnpulse chaos``: replay recorded days while parts die, hang and are cut off; nothing of it may show."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from vnpulse.chaos.faults import OF_THE_STORE, OF_THE_WORKER_NODE, Fault, Planned, schedule
from vnpulse.chaos.feeder import Feeder
from vnpulse.chaos.outcome import Outcome, collect
from vnpulse.chaos.relay import Relay
from vnpulse.chaos.report import Report, make_report
from vnpulse.chaos.storm import Healed, Storm
from vnpulse.chaos.strikes import relayed
from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out
from vnpulse.cli.stack import interrupt_on_sigterm
from vnpulse.demo.sample import Sample, load_sample
from vnpulse.deployment import embedded_config
from vnpulse.embedded.parent import end_with_parent
from vnpulse.errors import BrokerUnavailable, UserError, VnpulseError
from vnpulse.kafka.lags import LagReader
from vnpulse.launcher import Deployment
from vnpulse.settings import Settings, load_settings
from vnpulse.side_stack import empty_folder, side_settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore

DRAIN_TIMEOUT_S = 300.0

WAIT_S = 3_600
"""How long an alert waits for an analysis that is behind. Where that ends chance begins."""
DRAIN_PERIOD_S = 0.5
QUIET_ROUNDS = 3
"""So many looks without lag in a row: what one group commits is the next one's input."""

PACE_S = 0.25
"""Between two market minutes, at least: 48 symbols then come at 200 bars a second."""

SPACING_S = 3.0
"""For a fault's stretch of the sample, at least, so that bars flow whenever one strikes."""


def chaos(
    kills: Annotated[int, typer.Option(min=0, max=10_000, help="How many faults.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed, the same faults in the same order.")] = 7,
    only: Annotated[str, typer.Option(help="Only these faults, separated by commas [all].")] = "",
    symbols: Annotated[str, typer.Option(help="Only these, separated by commas [all 48].")] = "",
    minutes: Annotated[int, typer.Option(min=0, help="Only the first minutes; 0: all.")] = 0,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Kill, suspend and cut off actors, Ray, the store and Kafka during a replay; compare with a calm one.

    Runs on a throw-away stack of its own. Exit code 0 only if the bars stored, the results and the
    alerts are the same as without faults: nothing lost, nothing doubled.
    """
    given = load_settings(config)
    faults, not_run = possible([fault_called(name) for name in only.split(",") if name.strip()], given)
    plan = schedule(kills, seed, faults)
    chosen = {planned.fault for planned in plan}
    on_two_nodes = bool(chosen & OF_THE_WORKER_NODE)
    sample = load_sample([s.strip().upper() for s in symbols.split(",") if s.strip()])
    sample = sample.first_minutes(minutes or len(sample.minutes))
    folder = empty_folder(given, "chaos")
    end_with_parent()
    interrupt_on_sigterm()
    calm, calm_file = _side(given, folder, "calm")
    deployment: Deployment

    def listens_at(part: str) -> Callable[[], int]:
        return lambda: deployment.listening_port(part)

    with ExitStack() as opened:
        relays = {
            part: opened.enter_context(Relay(part, listens_at(part)))
            for part in sorted(relayed(chosen) | ({"ray"} if on_two_nodes else set()))
        }
        stack = replace(
            embedded_config(calm),
            with_ray_dashboard=False,
            with_ray_worker=on_two_nodes,
            relays={part: relay.port for part, relay in relays.items()},
        )
        # What dies of a fault may die again before it has healed.
        deployment = Deployment(calm, calm_file, err.print, heals_limit=3 * kills + 10, stack=stack)
        opened.enter_context(deployment)
        deployment.start_stack()
        err.print(f"{len(sample.minutes)} market minutes without faults")
        before, _, _ = _run(deployment, relays, sample, [])
        deployment.switch(*_side(given, folder, "storm"))
        err.print(f"the same with {kills} faults, seed {seed}")
        after, healed, again = _run(deployment, relays, sample, plan)
    report = make_report(seed, healed, before, after, again, not_run)
    if as_json:
        out.print_json(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if report.problems:
        raise VnpulseError("the two runs differ: " + "; ".join(report.problems))


def fault_called(name: str) -> Fault:
    """Return the fault of that name, as "kill-store". Raises UserError."""
    known = {fault.value.replace(" ", "-"): fault for fault in Fault}
    if (fault := known.get(name.strip().lower())) is None:
        raise UserError(f"--only: was {name.strip()!r}, must be of {', '.join(known)}")
    return fault


def possible(asked: list[Fault], settings: Settings) -> tuple[list[Fault], dict[str, str]]:
    """Return the faults to choose from, and why others cannot be. Raises UserError if one is asked for."""
    if settings.store.uri is None:
        return asked or list(Fault), {}
    why = "the store is not ours: MONGODB_URI names it"
    refused = [fault for fault in asked if fault in OF_THE_STORE]
    if refused:
        raise UserError(f"--only: {refused[0].value.replace(' ', '-')}: {why}")
    possible = [fault for fault in asked or list(Fault) if fault not in OF_THE_STORE]
    return possible, {fault.value: why for fault in Fault if fault in OF_THE_STORE}


def _side(settings: Settings, folder: Path, name: str) -> tuple[Settings, Path]:
    changes: dict[str, dict[str, Any]] = {
        "embedded": dict.fromkeys(("kafka_security", "kafka_port", "mongo_port", "ray_dashboard_port")),
        "kafka": {"topic_prefix": f"{name}."},
        "store": {"database": name},
        "ray": {"namespace": name},
        "aggregation": {"wait_s": WAIT_S},
    }
    return side_settings(settings, folder, name, changes)


def _run(
    deployment: Deployment, relays: dict[str, Relay], sample: Sample, plan: list[Planned]
) -> tuple[Outcome, list[Healed], int]:
    settings = deployment.settings
    BarStore(connect(settings.store)).write([sample.history])
    deployment.start_pipelines()
    pace_s = max(PACE_S, SPACING_S * (len(plan) + 1) / len(sample.minutes)) if plan else 0.0
    feeder = Feeder(sample, settings, pace_s)
    feeder.start()
    try:
        storm = Storm(
            deployment,
            feeder,
            relays,
            len(sample.minutes),
            err.print,
            StatusStore(connect(settings.store)).read,
            lambda: _waiting(settings),
        )
        healed = storm.rage(plan, pace_s)
        feeder.allow(len(sample.minutes))
        _drain(deployment, feeder)
    finally:
        feeder.stop()
    outcome = collect(sample, settings)
    deployment.stop_pipelines()
    return outcome, healed, feeder.again


def _waiting(settings: Settings) -> int:
    """Return how many records wait for some consumer group."""
    with LagReader(settings.kafka) as reader:
        return sum(row.lag for row in reader.read())


def _drain(deployment: Deployment, feeder: Feeder) -> None:
    """Return when everything was sent and no group lags."""
    give_up_at = time.monotonic() + DRAIN_TIMEOUT_S
    quiet, lag = 0, -1
    while quiet < QUIET_ROUNDS:
        deployment.heal()
        if feeder.failure is not None:
            raise VnpulseError(f"the feeder failed: {feeder.failure}")
        try:
            lag = _waiting(deployment.settings)
        except BrokerUnavailable:
            lag = -1  # not back yet
        quiet = quiet + 1 if feeder.finished and lag == 0 else 0
        if time.monotonic() > give_up_at:
            raise VnpulseError(f"not worked off after {DRAIN_TIMEOUT_S:.0f} s: lag {lag}")
        time.sleep(DRAIN_PERIOD_S)


def _print(report: Report) -> None:
    table = Table("fault", "count", "p50 s", "p99 s", "worst s")
    for kind, row in [*report.by_kind.items(), ("all", report.recovery)]:
        table.add_row(kind, str(row.count), f"{row.p50_s:.1f}", f"{row.p99_s:.1f}", f"{row.worst_s:.1f}")
    out.print(table)
    out.print(f"faults that struck together with others {report.together} of {report.faults}")
    out.print(f"bars {report.bars}, results {report.results}, alerts {report.alerts}")
    out.print(
        f"minutes sent again {report.minutes_sent_again},"
        f" duplicates suppressed {report.duplicates_suppressed}"
        f" (visible in the topics, with the same id: {report.repeated_in_topics})"
    )
    for kind, why in report.not_run.items():
        out.print(f"not run: {kind}: {why}", markup=False)
    out.print("the same as without faults" if not report.problems else "NOT the same as without faults")
