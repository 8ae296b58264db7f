"""``vnpulse collect``: ask the sources of configs/sources.yaml, once or until Ctrl-C."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, err, out, running_settings
from vnpulse.cli.stack import stop_on_signals
from vnpulse.errors import UserError, VnpulseError
from vnpulse.settings import Settings
from vnpulse.store.connection import connect
from vnpulse.store.status import StatusStore

# Imported where they are used: feed and calendar packages cost every command half a second.
if TYPE_CHECKING:
    from vnpulse.collection.assembly import Assembly

SourcesOption = Annotated[
    Path | None, typer.Option("--sources", help="Another file than the settings' collection.sources.")
]
STATUS_FRESH_S = 10.0
WATCH_PERIOD_S = 0.5


def collect(
    config: ConfigOption = DEFAULT,
    follow: Annotated[
        bool, typer.Option("--follow/--once", help="Until Ctrl-C, or one request to each source.")
    ] = False,
    only: Annotated[str | None, typer.Option(help="Of prices, news, schedule; separated by commas.")] = None,
    sources: SourcesOption = None,
) -> None:
    """Collect prices, news and scheduled triggers into the topics."""
    from vnpulse.collection.assembly import Assembly, load_sources

    settings = running_settings(config)
    file = load_sources(sources or settings.collection.sources)
    stopping = threading.Event()
    assembly = Assembly(settings, file, stopping, err.print)
    kinds = _kinds(only, assembly.configured())
    _refuse_a_second_collector(settings, kinds)
    if follow:
        _follow(assembly, kinds, stopping)
    else:
        _once(assembly, kinds)


def _kinds(only: str | None, configured: list[str]) -> list[str]:
    from vnpulse.collection.assembly import KINDS

    if only is None:
        if not configured:
            raise UserError(f"the sources file has no section of {', '.join(KINDS)}")
        return configured
    wanted = [kind.strip() for kind in only.split(",")]
    for kind in wanted:
        if kind not in KINDS:
            raise UserError(f"--only was {kind}, allowed: {', '.join(KINDS)}")
    return wanted


def _refuse_a_second_collector(settings: Settings, kinds: list[str]) -> None:
    """Two collectors would ask the sources twice as often as they may be."""
    for row in StatusStore(connect(settings.store)).read():
        name = str(row["name"])
        if (
            name in {f"collection/{kind}" for kind in kinds}
            and time.time() - row["updated_s"] < STATUS_FRESH_S
        ):
            raise UserError(f"{name} runs already in the pipelines; stop it, or leave it out with --only")


def _once(assembly: Assembly, kinds: list[str]) -> None:
    from vnpulse.collection.news_collector import NewsCollector
    from vnpulse.collection.price_collector import PriceCollector
    from vnpulse.collection.sources import SourceError

    failed = False
    statuses: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        collector = assembly.collector(kind)
        try:
            if isinstance(collector, PriceCollector | NewsCollector):
                collector.poll_once()
            else:
                collector.step()
            statuses[kind] = collector.status()
            failed = failed or bool(statuses[kind]["error"])
        except SourceError as error:
            statuses[kind] = {**collector.status(), "error": str(error)}
            failed = True
        finally:
            collector.close()
    _print(statuses)
    if failed:
        raise typer.Exit(1)


def _follow(assembly: Assembly, kinds: list[str], stopping: threading.Event) -> None:
    from vnpulse.collection.loop import CollectionLoop

    loops = {
        kind: CollectionLoop(lambda kind=kind: assembly.collector(kind), assembly.clock, stopping)  # type: ignore[misc]
        for kind in kinds
    }
    failures: dict[str, BaseException] = {}

    def run(kind: str, loop: CollectionLoop) -> None:
        try:
            loop.run()
        except BaseException as error:
            failures[kind] = error
            stopping.set()

    told = stop_on_signals()
    threads = [threading.Thread(target=run, args=pair, name=pair[0], daemon=True) for pair in loops.items()]
    for thread in threads:
        thread.start()
    err.print(f"collecting {', '.join(kinds)}; stop with Ctrl-C")
    while not (told.wait(WATCH_PERIOD_S) or stopping.is_set()):
        pass
    stopping.set()
    for thread in threads:
        thread.join()
    _print({kind: loop.health() for kind, loop in loops.items()})
    for error in failures.values():
        raise error if isinstance(error, VnpulseError) else VnpulseError(f"{type(error).__name__}: {error}")


def _print(statuses: dict[str, dict[str, Any]]) -> None:
    table = Table("", "sent", "rejected", "", box=None)
    for kind, status in statuses.items():
        counts = status["counts"]
        rejected = {n.removeprefix("rejected_"): c for n, c in counts.items() if n.startswith("rejected_")}
        shown = ", ".join(f"{count} {reason}" for reason, count in rejected.items()) or "0"
        sent = counts.get("records", 0) + counts.get("triggers", 0)
        table.add_row(kind, str(sent), shown, status["error"] or status.get("trouble") or status["remark"])
    out.print(table)
