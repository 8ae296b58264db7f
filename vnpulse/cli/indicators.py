"""``vnpulse indicators``: technical indicators of the bars in a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from vnpulse.cli.options import err, out
from vnpulse.errors import UserError
from vnpulse.messages import INTERVAL_MS

EVERY = "all"


def indicators(
    file: Annotated[Path, typer.Argument(help="A .parquet or .csv file of bars.")],
    target: Annotated[Path, typer.Option("--out", help="A .parquet or .csv file to write.")],
    interval: Annotated[
        str | None,
        typer.Option(
            help="Interval of the bars that indicators are computed over, 1m, 5m, 15m, 1h or 1d;"
            " longer ones are made of the file's bars.",
            show_default="that of the file",
        ),
    ] = None,
    chosen: Annotated[
        str | None,
        typer.Option(
            "--indicators",
            help="KIND:PARAMETER:..., separated by commas, as in rsi:14,macd:12:26:9, or all.",
            show_default="those of technical analysis",
        ),
    ] = None,
) -> None:
    """Compute indicators of bars: columns symbol, time, open, high, low, close, volume.

    Writes each bar and, beside it, a column for each output of the indicators, empty until there
    are bars enough. It is the code of live analysis, which however leaves out the minutes of the
    opening auction; here every bar counts. A time without a zone is Vietnamese. Longer bars are
    counted from where trading begins, anew after the noon break; those of a day from midnight.
    """
    if interval is not None and interval not in INTERVAL_MS:
        raise UserError(f"--interval was {interval}, allowed: {', '.join(INTERVAL_MS)}")
    # Imported here: they bring numba, which every other command would wait for.
    import numpy as np

    from vnpulse.indicator_files import write_indicators
    from vnpulse.indicators.catalogue import IndicatorSet, every_indicator, parse
    from vnpulse.market import load_market
    from vnpulse.sentiment.settings import SentimentSettings
    from vnpulse.sentiment.symbols import SymbolFinder
    from vnpulse.technical.settings import TechnicalSettings

    began = time.monotonic()
    texts = TechnicalSettings().indicators if chosen is None else tuple(chosen.split(","))
    try:
        specs = every_indicator() if chosen == EVERY else [parse(text) for text in texts]
        wanted = IndicatorSet(specs)
    except ValueError as error:
        raise UserError(f"--indicators: {error}") from None

    market = load_market()
    companies = SymbolFinder.load(SentimentSettings().companies).companies
    blocks = {name: np.array(rules.blocks(), np.int64) for name, rules in market.exchanges.items()}
    # All exchanges break at noon: the first one's stretches of trading do for unknown symbols.
    unknown = next(iter(blocks.values()))

    def blocks_of(symbol: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return blocks[companies[symbol].exchange] if symbol in companies else unknown

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total or None)
            progress.update(tasks[what], completed=done)

        done = write_indicators(file, target, wanted, interval, blocks_of, show)
    for doubt in done.doubts:
        err.print(f"computed as it is: {doubt}", markup=False, soft_wrap=True)
    made_of = f" made of {done.bars_read}" if done.rows != done.bars_read else ""
    out.print(
        f"{done.rows} bars{made_of}, {done.symbols} symbols, {len(wanted.output_names)} outputs"
        f" in {time.monotonic() - began:.1f} s: {target}",
        markup=False,
        soft_wrap=True,
    )
