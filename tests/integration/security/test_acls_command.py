"""`vnpulse acls` and `vnpulse security users`, as an operator runs them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import yaml

from tests.integration.security.conftest import SecuredBroker
from tests.integration.trial import BIN
from vnpulse.acls import Acl
from vnpulse.kafka.acls import AclAdmin

OPERATOR = "vnpulse-operator"
FILE = "components: {one: {principals: [User:one], topics: {Read: [alerts]}, groups: {Describe: every}}}\n"


def test_differences_are_shown_put_right_and_taken_away(secured: SecuredBroker, tmp_path: Path) -> None:
    config, rights = tmp_path / "vnpulse.yaml", tmp_path / "acls.yaml"
    rights.write_text(FILE)
    document = {
        "kafka": {
            "bootstrap_servers": [secured.node.bootstrap],
            "topic_prefix": "cli.",
            "security": {
                "protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-256", "username": OPERATOR,
                "ca_file": str(secured.trial.ca_file),
                "password_file": str(secured.trial.password_file(OPERATOR)),
            },
        },
        "store": {"uri": "mongodb://127.0.0.1:1"},
        "ray": {"address": "127.0.0.1:1"},
    }  # fmt: skip
    config.write_text(yaml.safe_dump(document))

    def vnpulse(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(BIN / "vnpulse"), *words, "--config", str(config)],
            capture_output=True, text=True, timeout=90, env=os.environ, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def acls(*words: str) -> tuple[int, str]:
        return vnpulse("acls", *words, "--file", str(rights))

    status, said = acls("diff")
    assert status == 1
    assert "missing: User:one may Read topic cli.alerts" in said
    assert said.count("missing: ") == 5
    status, said = acls("apply")
    assert (status, said.splitlines()[-1]) == (0, "5 ACLs changed")
    assert acls("apply") == (0, "nothing to change\n")
    assert acls("diff") == (0, "no differences\n")

    surplus = Acl("User:two", "Write", "topic", "cli.alerts", permission="Deny")
    with AclAdmin(secured.super_user()) as admin:
        admin.add([surplus])
    status, said = acls("diff", "--json")
    assert status == 1
    assert json.loads(said)["missing"] == []
    assert [Acl(**acl) for acl in json.loads(said)["surplus"]] == [surplus]
    status, said = acls("apply", "--prune")
    assert (status, said.splitlines()) == (
        0, ["removed: User:two must not Write topic cli.alerts", "1 ACLs changed"],
    )  # fmt: skip
    assert acls("diff") == (0, "no differences\n")

    status, said = vnpulse("security", "users", str(secured.trial.path))
    assert (status, said.split(":")[0]) == (0, f"{len(secured.trial.users())} users")
    assert not [password for password in secured.trial.users().values() if password in said]
