"""``vnpulse dlq``: what could not be used, and why."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.table import Table

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, out, running_settings
from vnpulse.errors import UserError
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.consumer import AssignedConsumer, LoggedRecord
from vnpulse.messages import VIETNAM
from vnpulse.settings import Settings
from vnpulse.topics import CONSUMED, DEAD_LETTER_SUFFIX, dead_letter_topic

app = typer.Typer(no_args_is_help=True, help="Look at the dead-letter topics.")

POLL_MS = 1_000
SHOWN_BYTES = 4_096


def _topics(name: str | None) -> list[str]:
    known = [dead_letter_topic(topic) for topic in CONSUMED]
    if name is None:
        return known
    wanted = name if name.endswith(DEAD_LETTER_SUFFIX) else dead_letter_topic(name)
    if wanted not in known:
        raise UserError(f"topic was {name}, allowed: {', '.join(known)}")
    return [wanted]


def read_topic(settings: Settings, topic: str) -> Iterator[LoggedRecord]:
    """Yield every record that ``topic`` (its name on the cluster) holds now."""
    with KafkaAdmin(settings.kafka) as admin:
        states = admin.topics([topic])
    if topic not in states:
        return
    consumer = AssignedConsumer(settings.kafka, topic, range(states[topic].partitions), None, "vnpulse-dlq")
    try:
        ends = consumer.end_offsets()
        for partition, offset in consumer.beginning_offsets().items():
            consumer.seek(partition, offset)
        while any(consumer.positions[p] < end for p, end in ends.items()):
            yield from consumer.poll_records(POLL_MS)
    finally:
        consumer.close()


@app.command("list")
def list_(
    topic: Annotated[str | None, typer.Argument(help="A raw topic or its _dlq [all].")] = None,
    config: ConfigOption = DEFAULT,
    limit: Annotated[int, typer.Option(min=1, help="Newest so many of each topic.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest last."""
    settings = running_settings(config)
    rows = []
    for name in _topics(topic):
        found = sorted(read_topic(settings, settings.kafka.topic(name)), key=lambda r: r.timestamp)
        rows += [(name, record) for record in found[-limit:]]
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
    for found in read_topic(settings, settings.kafka.topic(name)):
        if (found.partition, found.offset) == (partition, offset):
            for header, value in found.headers.items():
                out.print(f"{header}: {value}", markup=False, soft_wrap=True)
            out.print(f"key: {found.key!r}", markup=False)
            if found.value is None:
                out.print("value: null")
                return
            text = found.value[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
            more = f"\n... {len(found.value)} bytes in all" if len(found.value) > SHOWN_BYTES else ""
            out.print(f"value: {text}{more}", markup=False, soft_wrap=True)
            return
    raise UserError(f"no record {record}; `vnpulse dlq list {parts[0]}` shows what there is")
