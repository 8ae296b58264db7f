"""``vnpulse schemas``: the Avro schemas of the topics, here and in the registry."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, out
from vnpulse.errors import UserError
from vnpulse.serialization.avro_schemas import avro_schema, schema_text
from vnpulse.serialization.codecs import subject_of
from vnpulse.serialization.compatibility import incompatibilities
from vnpulse.serialization.schema_files import generate as generate_files
from vnpulse.settings import Settings, load_settings
from vnpulse.topics import MESSAGE_TYPES

if TYPE_CHECKING:
    from vnpulse.kafka.schema_registry import ConfluentSchemaRegistry

app = typer.Typer(no_args_is_help=True, help="Register and check the Avro schemas of the topics.")

TopicsArgument = Annotated[list[str] | None, typer.Argument(help="Topics, without prefix [all].")]


@app.command("register")
def register(topics: TopicsArgument = None, config: ConfigOption = DEFAULT) -> None:
    """Put the schemas under <topic>-value with BACKWARD compatibility. Repeating it is harmless."""
    settings = load_settings(config)
    with _registry(config, settings) as registry:
        for topic in _known(topics):
            subject = subject_of(settings.kafka.topic(topic))
            schema_id, version, _ = registry.register(subject, schema_text(avro_schema(MESSAGE_TYPES[topic])))
            out.print(f"{subject}: version {version}, id {schema_id}", soft_wrap=True)


@app.command("check")
def check(topics: TopicsArgument = None, config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Ask the registry whether it would take the schemas; exit code 1 if not."""
    settings = load_settings(config)
    with _registry(config, settings) as registry:
        rows = [_checked(registry, subject_of(settings.kafka.topic(t)), t) for t in _known(topics)]
    if as_json:
        out.print_json(json.dumps(rows))
    else:
        for row in rows:
            out.print(f"{row['subject']}: {_sentence(row)}", soft_wrap=True, markup=False)
    if not all(row["compatible"] for row in rows):
        raise typer.Exit(1)


@app.command("generate")
def generate() -> None:
    """Write configs/schemas from the message structs: a new version for each that has changed."""
    written = generate_files()
    for path in written:
        out.print(str(path), soft_wrap=True)
    if not written:
        out.print("nothing has changed")


def _registry(config: Path, settings: Settings) -> closing[ConfluentSchemaRegistry]:
    # Here because Confluent's client takes half a second that no other command needs.
    from vnpulse.kafka.schema_registry import ConfluentSchemaRegistry

    if settings.serialization.registry.url is None:
        raise UserError(
            f"{config}: serialization.registry.url is not set: give it there, or in SCHEMA_REGISTRY_URL"
        )
    return closing(ConfluentSchemaRegistry(settings.serialization.registry))


def _known(topics: list[str] | None) -> list[str]:
    for topic in topics or ():
        if topic not in MESSAGE_TYPES:
            raise UserError(f"topic was {topic}, allowed: {', '.join(MESSAGE_TYPES)}")
    return topics or list(MESSAGE_TYPES)


def _checked(registry: ConfluentSchemaRegistry, subject: str, topic: str) -> dict[str, Any]:
    schema = avro_schema(MESSAGE_TYPES[topic])
    registered = registry.lookup(subject, schema_text(schema))
    latest = registry.latest(subject)
    row: dict[str, Any] = {
        "subject": subject,
        "registered_version": registered.version if registered else None,
        "latest_version": latest.version if latest else None,
        "compatible": True,
        "problems": [],
    }
    if registered is None and latest is not None:
        row["compatible"] = registry.is_compatible(subject, schema_text(schema))
        if not row["compatible"]:
            # The registry's answer holds; the reasons are our own reading of the same rules.
            row["problems"] = incompatibilities(schema, json.loads(latest.schema))
    return row


def _sentence(row: dict[str, Any]) -> str:
    if row["registered_version"] is not None:
        newer = row["latest_version"] != row["registered_version"]
        return f"registered, version {row['registered_version']}" + (
            f" (the newest is {row['latest_version']})" if newer else ""
        )
    if row["latest_version"] is None:
        return "not registered yet; run: vnpulse schemas register"
    if row["compatible"]:
        return f"compatible with version {row['latest_version']}, not registered yet"
    reasons = "; ".join(row["problems"]) or "its rules are stricter than BACKWARD with the newest version"
    return f"not compatible with version {row['latest_version']}: {reasons}"
