"""``vnpulse security``: what a trial of the secured transport needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vnpulse.acls import load_acls
from vnpulse.cli.options import DEFAULT, ConfigOption, out, running_settings
from vnpulse.kafka.users import put_users
from vnpulse.security.trial import CONFIG_FILE, LOCAL_HOSTS, TrialFolder
from vnpulse.topics import load_topics

app = typer.Typer(no_args_is_help=True, help="Certificates and users for a trial of TLS, SCRAM and ACLs.")

FolderArgument = Annotated[Path, typer.Argument(help="The trial's folder.", file_okay=False)]


@app.command("trial")
def trial(
    folder: FolderArgument,
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or address of the broker beside 127.0.0.1 and localhost; may be repeated."),
    ] = None,
) -> None:
    """Make an authority, a broker certificate, every user of configs/acls.yaml, and a configuration.

    Makes what is missing: delete a file and run this again to replace it.
    """
    made = TrialFolder(folder.absolute())
    users = load_acls(load_topics()).users()
    for file in made.complete(users, (*LOCAL_HOSTS, *(host or ()))):
        out.print(f"made {file.relative_to(made.path)}", markup=False, soft_wrap=True)
    out.print(f"start it with: vnpulse up --config {made.path / CONFIG_FILE}", markup=False, soft_wrap=True)


@app.command("users")
def users(folder: FolderArgument, config: ConfigOption = DEFAULT) -> None:
    """Give the cluster the users of a trial's folder, or their new passwords, for SCRAM."""
    passwords = TrialFolder(folder.absolute()).users()
    put_users(running_settings(config).kafka, passwords)
    out.print(f"{len(passwords)} users: {', '.join(passwords)}", soft_wrap=True)
