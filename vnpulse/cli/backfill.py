"""``vnpulse backfill``: history of symbols into the raw topic, resumable."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vnpulse.cli.collect import SourcesOption
from vnpulse.cli.options import DEFAULT, ConfigOption, err, out, running_settings
from vnpulse.collection.settings import PriceSettings
from vnpulse.decoding import FIRST_SESSION
from vnpulse.errors import UserError

# Imported where they are used: feed and calendar packages cost every command half a second.
if TYPE_CHECKING:
    from vnpulse.collection.assembly import Assembly
    from vnpulse.collection.backfill import Outcome

INTERVALS = ("1m", "1d")
"""What sources have; longer intraday bars are made of one-minute bars here."""

SHOWN_GAPS = 50


def backfill(
    symbols: Annotated[str, typer.Option(help="Separated by commas; `all` for those of the companies file.")],
    first: Annotated[str, typer.Option("--from", help="The first day, like 2025-01-02.")],
    last: Annotated[str | None, typer.Option("--to", help="The last day [today].")] = None,
    interval: Annotated[str, typer.Option(help=f"One of {', '.join(INTERVALS)}.")] = "1m",
    config: ConfigOption = DEFAULT,
    sources: SourcesOption = None,
) -> None:
    """Fetch bars of the past, at the pace that the sources allow. Run again, it goes on where it was.

    At the end the gaps are listed: trading days, or their halves, for which there was no bar. Exit code 1
    if a part could not be fetched.
    """
    from vnpulse.collection.assembly import Assembly, load_sources
    from vnpulse.collection.backfill import Backfill, chunks_of
    from vnpulse.trading_calendar import day_of

    if interval not in INTERVALS:
        raise UserError(
            f"--interval was {interval}, allowed: {', '.join(INTERVALS)}; longer ones are made of 1m"
        )
    settings = running_settings(config)
    file = load_sources(sources or settings.collection.sources)
    stopping = threading.Event()
    assembly = Assembly(settings, file, stopping, err.print)
    today = day_of(assembly.clock.now_ms())
    begin, end = _day("--from", first), _day("--to", last) if last else today
    if begin > end:
        raise UserError(f"--from was {begin}, after --to ({end})")
    if end > today:
        raise UserError(f"--to was {end}, after today ({today})")
    wanted = () if symbols == "all" else tuple(dict.fromkeys(s.strip().upper() for s in symbols.split(",")))
    exchange_of = assembly.exchanges(wanted)
    market = assembly.market(file.prices or PriceSettings())
    outbox = assembly.outbox("backfill")
    work = Backfill(
        market, exchange_of, assembly.calendar, outbox, assembly.store(), assembly.clock, assembly.pause
    )
    chunks = chunks_of(sorted(exchange_of), interval, begin, end)
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=err) as progress:
            task = progress.add_task(f"{interval} bars", total=len(chunks))
            for outcome in work.run(chunks):
                outcomes.append(outcome)
                progress.update(
                    task, description=f"{outcome.chunk.symbol} {outcome.chunk.first:%Y-%m}", advance=1
                )
    finally:
        market.close()
        outbox.close()
    _report(outcomes, assembly, dict(outbox.counts))


def _day(option: str, text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} was {text}, must be a date like 2025-01-02") from None
    if day < FIRST_SESSION.date():
        raise UserError(f"{option} was {text}, before the first session ({FIRST_SESSION:%Y-%m-%d})")
    return day


def _report(outcomes: list[Outcome], assembly: Assembly, counts: dict[str, int]) -> None:
    from vnpulse.collection.backfill import merged_gaps

    fetched = sum(1 for o in outcomes if o.fetched and not o.error)
    done_before = sum(1 for o in outcomes if not o.fetched and not o.error)
    rejected = {n.removeprefix("rejected_"): c for n, c in counts.items() if n.startswith("rejected_")}
    out.print(
        f"{sum(o.bars for o in outcomes)} bars sent, {sum(rejected.values())} rejected"
        + (f" ({', '.join(f'{c} {r}' for r, c in rejected.items())})" if rejected else "")
        + f"; {fetched} parts fetched, {done_before} done before"
    )
    by_symbol: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_symbol.setdefault(outcome.chunk.symbol, []).extend(outcome.gaps)
    lines = [
        f"gap: {symbol} {gap}"
        for symbol, gaps in by_symbol.items()
        for gap in merged_gaps(gaps, assembly.calendar)
    ]
    for line in lines[:SHOWN_GAPS]:
        out.print(line, markup=False)
    if len(lines) > SHOWN_GAPS:
        out.print(f"... and {len(lines) - SHOWN_GAPS} more gaps")
    failed = [o for o in outcomes if o.error]
    if not lines:
        out.print("no gaps in what was fetched" if failed else "no gaps")
    for outcome in failed[:SHOWN_GAPS]:
        err.print(f"not fetched: {outcome.chunk.id}: {outcome.error}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)
