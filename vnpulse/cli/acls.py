"""``vnpulse acls``: who may do what on the cluster, should, and may beyond that."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vnpulse.acls import Acl, compare, load_acls, wanted_acls
from vnpulse.cli.options import DEFAULT, ConfigOption, JsonOption, out, running_settings
from vnpulse.configuration import CONFIG_DIR
from vnpulse.kafka.acls import AclAdmin
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import load_topics

app = typer.Typer(no_args_is_help=True, help="Compare and set the ACLs of configs/acls.yaml.")

FileOption = Annotated[
    Path, typer.Option("--file", help="Rights by component.", show_default="configs/acls.yaml")
]
DEFAULT_FILE = CONFIG_DIR / "acls.yaml"


@app.command("apply")
def apply(
    config: ConfigOption = DEFAULT,
    file: FileOption = DEFAULT_FILE,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove what is surplus.")] = False,
) -> None:
    """Add the ACLs that are missing. Repeating it is harmless."""
    kafka = running_settings(config).kafka
    with AclAdmin(kafka) as admin:
        missing, surplus = _differences(admin, kafka, file)
        # Rights are given before they are taken: nobody loses one on the way.
        admin.add(missing)
        _say("added", missing)
        if prune:
            admin.remove(surplus)
        _say("removed" if prune else "surplus, kept (remove with --prune)", surplus)
    done = len(missing) + (len(surplus) if prune else 0)
    out.print(f"{done} ACLs changed" if done else "nothing to change")


@app.command("diff")
def diff(
    config: ConfigOption = DEFAULT, file: FileOption = DEFAULT_FILE, as_json: JsonOption = False
) -> None:
    """Show which ACLs are missing and which are surplus; exit code 1 if there are any."""
    kafka = running_settings(config).kafka
    with AclAdmin(kafka) as admin:
        missing, surplus = _differences(admin, kafka, file)
    if as_json:
        listed = {"missing": missing, "surplus": surplus}
        out.print_json(json.dumps({kind: [asdict(acl) for acl in acls] for kind, acls in listed.items()}))
    else:
        _say("missing", missing)
        _say("surplus", surplus)
        if not missing and not surplus:
            out.print("no differences")
    if missing or surplus:
        raise typer.Exit(1)


def _differences(admin: AclAdmin, kafka: KafkaSettings, file: Path) -> tuple[list[Acl], list[Acl]]:
    topics = load_topics()
    wanted = wanted_acls(load_acls(topics, file), topics, kafka)
    return compare(wanted, admin.read(), kafka)


def _say(what: str, acls: list[Acl]) -> None:
    for acl in acls:
        out.print(f"{what}: {acl}", markup=False, soft_wrap=True)
