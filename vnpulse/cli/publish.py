"""``vnpulse publish`` and ``vnpulse trigger``: put things into the topics by hand."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vnpulse.cli.options import DEFAULT, ConfigOption, err, out, running_settings
from vnpulse.clock import SystemClock
from vnpulse.errors import UserError
from vnpulse.kafka.clients import open_producer
from vnpulse.messages import SYMBOL_PATTERN, VIETNAM, AnalysisTrigger, Interval, TriggerMetadata
from vnpulse.publishing import BarReader, NewsReader, Reader, count_rows, read_chunks
from vnpulse.serialization.codecs import open_codecs
from vnpulse.topics import NEWS, PRICES, TRIGGERS, load_topics

app = typer.Typer(no_args_is_help=True, help="Send bars or articles from a file (parquet, csv, jsonl).")

SHOWN_REJECTIONS = 50

FileArgument = Annotated[Path, typer.Argument(help="A .parquet, .csv or .jsonl file.")]
IntervalOption = Annotated[str | None, typer.Option(help="Interval of bars where the file has none [1m].")]
LocalTimeOption = Annotated[bool, typer.Option("--local-time", help="Times without a zone are Vietnamese.")]


@app.command("prices")
def prices(
    file: FileArgument,
    config: ConfigOption = DEFAULT,
    interval: IntervalOption = None,
    local_time: LocalTimeOption = False,
) -> None:
    """Send bars: columns symbol, time, open, high, low, close, volume [interval, collected_at, source]."""
    allowed = Interval.__args__  # type: ignore[attr-defined]
    if interval is not None and interval not in allowed:
        raise UserError(f"--interval was {interval}, allowed: {', '.join(allowed)}")
    _publish(file, config, PRICES, BarReader(interval, local_time))


@app.command("news")
def news(file: FileArgument, config: ConfigOption = DEFAULT) -> None:
    """Send articles: news_id, symbol, title, content, source, source_url, published_at [category, tags]."""
    _publish(file, config, NEWS, NewsReader())


def _publish(file: Path, config: Path, topic: str, reader: Reader) -> None:
    settings = running_settings(config)
    codecs = open_codecs(settings)
    from_json = codecs.from_json(topic)
    producer = open_producer(settings.kafka, load_topics(), "vnpulse-publish")
    sent, rejected = 0, 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=err) as progress:
            task = progress.add_task(file.name, total=count_rows(file))
            for chunk in read_chunks(file, reader, SystemClock().now_ms):
                for key, value in zip(chunk.keys, chunk.values, strict=True):
                    producer.send(settings.kafka.topic(topic), key, from_json(value))
                producer.flush()
                sent += len(chunk.values)
                for row, why in chunk.rejected:
                    rejected += 1
                    if rejected <= SHOWN_REJECTIONS:
                        progress.console.print(f"{file}:{row}: {why}", soft_wrap=True, markup=False)
                progress.advance(task, chunk.rows)
    finally:
        producer.close()
        codecs.close()
    if rejected > SHOWN_REJECTIONS:
        err.print(f"... and {rejected - SHOWN_REJECTIONS} more")
    out.print(f"{sent} sent to {settings.kafka.topic(topic)}, {rejected} rejected")
    if rejected:
        raise typer.Exit(2)


def trigger(
    symbols: Annotated[list[str], typer.Argument(help="Symbols to analyze now.")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Ask for an analysis of the latest state of each SYMBOL."""
    for symbol in symbols:
        if not re.fullmatch(SYMBOL_PATTERN, symbol):
            raise UserError(f"symbol was {symbol}, must match {SYMBOL_PATTERN}")
    settings = running_settings(config)
    codecs = open_codecs(settings)
    encode = codecs.encoder(TRIGGERS)
    producer = open_producer(settings.kafka, load_topics(), "vnpulse-trigger")
    try:
        for symbol in symbols:
            message = AnalysisTrigger(
                trigger_id=str(uuid.uuid4()),
                symbol=symbol,
                trigger_type="scheduled",
                timestamp=dt.datetime.now(VIETNAM),
                metadata=TriggerMetadata(priority="urgent"),
            )
            producer.send(settings.kafka.topic(TRIGGERS), symbol, encode(message))
        producer.flush()
    finally:
        producer.close()
        codecs.close()
    out.print(f"{len(symbols)} triggers sent to {settings.kafka.topic(TRIGGERS)}")
