"""``vnpulse dlq``: what could not be used, and why; and what to do about it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, out, running_settings
from vnpulse.cli.times import epoch_ms
from vnpulse.errors import UserError
from vnpulse.kafka.consumer import LoggedRecord
from vnpulse.kafka.dead_letter_topics import DeadLetterTopic
from vnpulse.messages import VIETNAM
from vnpulse.serialization.codecs import open_codecs
from vnpulse.topics import CONSUMED, DEAD_LETTER_SUFFIX, dead_letter_topic

app = typer.Typer(no_args_is_help=True, help="Look at the dead-letter topics, redrive and purge them.")

SHOWN_CHARS = 4_096

TopicArgument = Annotated[str, typer.Argument(help="A topic of the design or its _dlq.")]
ErrorOption = Annotated[str | None, typer.Option("--error", help="Only with this reason or exception type.")]
SymbolOption = Annotated[str | None, typer.Option(help="Only with this key.")]
SinceOption = Annotated[str | None, typer.Option(help="Only from this date or time (market time) on.")]
UntilOption = Annotated[str | None, typer.Option(help="Only before this date or time (market time).")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@dataclass(frozen=True)
class _Filter:
    """Which letters are meant; None means all."""

    error: str | None
    symbol: str | None
    since: str | None
    until: str | None

    def of(self, letters: list[LoggedRecord]) -> list[LoggedRecord]:
        since = epoch_ms("--since", self.since) if self.since else 0
        until = epoch_ms("--until", self.until) if self.until else None
        key = self.symbol.encode() if self.symbol is not None else None
        return [
            letter
            for letter in letters
            if (key is None or letter.key == key)
            and letter.timestamp >= since
            and (until is None or letter.timestamp < until)
            and self.error in (None, letter.headers.get("reason"), letter.headers.get("exception-type"))
        ]


def _topics(name: str | None) -> list[str]:
    known = [dead_letter_topic(topic) for topic in CONSUMED]
    if name is None:
        return known
    wanted = name if name.endswith(DEAD_LETTER_SUFFIX) else dead_letter_topic(name)
    if wanted not in known:
        raise UserError(f"topic was {name}, allowed: {', '.join(known)}")
    return [wanted]


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Argument(help="A topic of the design or its _dlq [all].")] = None,
    config: ConfigOption = DEFAULT,
    error: ErrorOption = None,
    symbol: SymbolOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest so many of each topic.")] = 50,
    redriven: Annotated[bool, typer.Option("--redriven", help="Also those that were redriven.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest last."""
    wanted = _Filter(error, symbol, since, until)
    settings = running_settings(config)
    rows = []
    for name in _topics(topic):
        with DeadLetterTopic(settings.kafka, settings.kafka.topic(name)) as letters:
            held = letters.read()
        found = wanted.of(held.all if redriven else held.open)
        found.sort(key=lambda letter: letter.timestamp)
        rows += [(name, letter) for letter in found[-limit:]]
    if as_json:
        listed = [
            {
                "topic": name,
                "partition": r.partition,
                "offset": r.offset,
                "timestamp": r.timestamp,
                **r.headers,
            }
            for name, r in rows
        ]
        out.print_json(json.dumps(listed))
        return
    if not rows:
        out.print("no dead letters")
        return
    table = Table("dlq record", "when", "original record", "reason", "message")
    for name, record in rows:
        headers = record.headers
        original = "{}/{}/{}".format(
            *(headers.get(f"original-{part}", "?") for part in ("topic", "partition", "offset"))
        )
        when = dt.datetime.fromtimestamp(record.timestamp / 1000, VIETNAM)
        table.add_row(
            f"{name}/{record.partition}/{record.offset}",
            f"{when:%m-%d %H:%M:%S}",
            original,
            headers.get("reason", "?"),
            headers.get("message", ""),
        )
    out.print(table)


@app.command("show")
def show(
    record: Annotated[str, typer.Argument(help="TOPIC/PARTITION/OFFSET as `dlq list` prints it.")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Print one dead letter whole: headers, key, value."""
    parts = record.split("/")
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        raise UserError(
            f"record was {record}, must be TOPIC/PARTITION/OFFSET as `vnpulse dlq list` prints it"
        )
    name, partition, offset = _topics(parts[0])[0], int(parts[1]), int(parts[2])
    settings = running_settings(config)
    with DeadLetterTopic(settings.kafka, settings.kafka.topic(name)) as letters:
        held = letters.read()
    for found in held.all:
        if (found.partition, found.offset) == (partition, offset):
            for header, value in found.headers.items():
                out.print(f"{header}: {value}", markup=False, soft_wrap=True)
            out.print(f"key: {found.key!r}", markup=False)
            if found.value is None:
                out.print("value: null")
                return
            with closing(open_codecs(settings)) as codecs:
                text = codecs.readable(found.value)
            more = f"\n... {len(found.value)} bytes in all" if len(text) > SHOWN_CHARS else ""
            out.print(f"value: {text[:SHOWN_CHARS]}{more}", markup=False, soft_wrap=True)
            return
    raise UserError(f"no record {record}; `vnpulse dlq list {parts[0]}` shows what there is")


@app.command("redrive")
def redrive(
    topic: TopicArgument,
    config: ConfigOption = DEFAULT,
    error: ErrorOption = None,
    symbol: SymbolOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Send dead letters back to the topic they came from, with their key, each once.

    What was redriven is not listed and not redriven again. A record that fails again becomes
    another dead letter; after three times it is refused.
    """
    wanted = _Filter(error, symbol, since, until)
    settings = running_settings(config)
    (name,) = _topics(topic)
    with DeadLetterTopic(settings.kafka, settings.kafka.topic(name)) as letters:
        if letters.exists and not dry_run:
            letters.claim()
        refused: Counter[str] = Counter()
        good: list[LoggedRecord] = []
        for letter in wanted.of(letters.read().open):
            refusal = letters.refusal(letter)
            if refusal is None:
                good.append(letter)
            else:
                refused[refusal] += 1
        if not dry_run and good:
            letters.redrive(good)
    out.print(f"{'would redrive' if dry_run else 'redrove'} {len(good)} to {letters.original}", markup=False)
    for refusal, count in refused.items():
        out.print(f"refused {count}: {refusal}", markup=False)
    if refused:
        raise typer.Exit(1)


@app.command("purge")
def purge(
    topic: TopicArgument,
    config: ConfigOption = DEFAULT,
    before: Annotated[str | None, typer.Option(help="Only what is older than this date or time.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that the topic holds now.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Delete dead letters for good, redriven or not, from the oldest on: Kafka cannot pick single records."""
    if (before is None) != everything:
        raise UserError("say what to delete: either --before TIME or --all")
    before_ms = epoch_ms("--before", before) if before else None
    settings = running_settings(config)
    (name,) = _topics(topic)
    with DeadLetterTopic(settings.kafka, settings.kafka.topic(name)) as letters:
        offsets = letters.purge_to(before_ms) if letters.exists else {}
        held = letters.read().all
        count = sum(1 for letter in held if letter.offset < offsets.get(letter.partition, 0))
        if not dry_run and offsets:
            letters.purge(offsets)
    out.print(f"{'would delete' if dry_run else 'deleted'} {count} from {letters.topic}", markup=False)
