"""``vnpulse chaos``: replay recorded days while parts are killed and suspended; nothing of it may show."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from vnpulse.chaos.faults import Fault, schedule
from vnpulse.chaos.feeder import Feeder
from vnpulse.chaos.outcome import Outcome, collect
from vnpulse.chaos.report import Report, make_report
from vnpulse.chaos.storm import Healed, Storm
from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, err, out
from vnpulse.cli.stack import interrupt_on_sigterm
from vnpulse.demo.sample import Sample, load_sample
from vnpulse.embedded.parent import end_with_parent
from vnpulse.errors import BrokerUnavailable, UserError, VnpulseError
from vnpulse.kafka.lags import LagReader
from vnpulse.launcher import Deployment
from vnpulse.settings import Settings, load_settings
from vnpulse.side_stack import empty_folder, side_settings
from vnpulse.store.bars import BarStore
from vnpulse.store.connection import connect

DRAIN_TIMEOUT_S = 300.0

WAIT_S = 3_600
"""How long an alert waits for an analysis that is behind. Where that ends chance begins."""
DRAIN_PERIOD_S = 0.5
QUIET_ROUNDS = 3
"""So many looks without lag in a row: what one group commits is the next one's input."""

PACE_S = 0.25
"""Between two market minutes: 48 symbols then come at 200 bars a second."""


def chaos(
    kills: Annotated[int, typer.Option(min=0, max=10_000, help="How many faults.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed, the same faults in the same order.")] = 7,
    only: Annotated[str, typer.Option(help="Only these faults, separated by commas [all].")] = "",
    symbols: Annotated[str, typer.Option(help="Only these, separated by commas [all 48].")] = "",
    minutes: Annotated[int, typer.Option(min=0, help="Only the first minutes; 0: all.")] = 0,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Kill and suspend actors, Ray, the store and Kafka during a replay; compare with an undisturbed run.

    Runs on a throw-away stack of its own. Exit code 0 only if the bars stored, the results and the
    alerts are the same as without faults: nothing lost, nothing doubled.
    """
    faults = [_fault(name) for name in only.split(",") if name.strip()]
    sample = load_sample([s.strip().upper() for s in symbols.split(",") if s.strip()])
    sample = sample.first_minutes(minutes or len(sample.minutes))
    given = load_settings(config)
    folder = empty_folder(given, "chaos")
    end_with_parent()
    interrupt_on_sigterm()
    calm, calm_file = _side(given, folder, "calm")
    with Deployment(calm, calm_file, err.print, heals_limit=kills + 1) as deployment:
        deployment.start_stack()
        err.print(f"{len(sample.minutes)} market minutes without faults")
        before, _, _ = _run(deployment, sample, [], seed)
        deployment.switch(*_side(given, folder, "storm"))
        err.print(f"the same with {kills} faults, seed {seed}")
        after, healed, again = _run(deployment, sample, faults, seed, kills)
    report = make_report(seed, healed, before, after, again)
    if as_json:
        out.print_json(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if report.problems:
        raise VnpulseError("the two runs differ: " + "; ".join(report.problems))


def _fault(name: str) -> Fault:
    try:
        return Fault(name.strip().replace("-", " ").lower())
    except ValueError:
        known = ", ".join(fault.value.replace(" ", "-") for fault in Fault)
        raise UserError(f"--only: was {name.strip()!r}, must be of {known}") from None


def _side(settings: Settings, folder: Path, name: str) -> tuple[Settings, Path]:
    changes: dict[str, dict[str, Any]] = {
        "kafka": {"topic_prefix": f"{name}."},
        "store": {"database": name},
        "ray": {"namespace": name},
        "aggregation": {"wait_s": WAIT_S},
    }
    return side_settings(settings, folder, name, changes)


def _run(
    deployment: Deployment, sample: Sample, faults: list[Fault], seed: int, kills: int = 0
) -> tuple[Outcome, list[Healed], int]:
    settings = deployment.settings
    BarStore(connect(settings.store)).write([sample.history])
    deployment.start_pipelines()
    pace_s = PACE_S if kills else 0.0
    feeder = Feeder(sample, settings, pace_s)
    feeder.start()
    try:
        healed = Storm(deployment, feeder, len(sample.minutes), err.print).rage(
            schedule(kills, seed, faults), pace_s
        )
        feeder.allow(len(sample.minutes))
        _drain(deployment, feeder)
    finally:
        feeder.stop()
    outcome = collect(sample, settings)
    deployment.stop_pipelines()
    return outcome, healed, feeder.again


def _drain(deployment: Deployment, feeder: Feeder) -> None:
    """Return when everything was sent and no group lags."""
    give_up_at = time.monotonic() + DRAIN_TIMEOUT_S
    quiet, lag = 0, -1
    while quiet < QUIET_ROUNDS:
        deployment.heal()
        if feeder.failure is not None:
            raise VnpulseError(f"the feeder failed: {feeder.failure}")
        try:
            with LagReader(deployment.settings.kafka) as reader:
                lag = sum(row.lag for row in reader.read())
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
    out.print(f"bars {report.bars}, results {report.results}, alerts {report.alerts}")
    out.print(
        f"minutes sent again {report.minutes_sent_again},"
        f" duplicates suppressed {report.duplicates_suppressed}"
        f" (visible in the topics, with the same id: {report.repeated_in_topics})"
    )
    out.print("the same as without faults" if not report.problems else "NOT the same as without faults")
