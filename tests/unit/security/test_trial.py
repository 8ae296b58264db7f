"""A trial's folder: what is in it, who may read it, what a second run does."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from vnpulse.errors import UserError
from vnpulse.security.trial import CONFIG_FILE, TrialFolder
from vnpulse.settings import load_settings

USERS = ["vnpulse-pipelines", "vnpulse-reader"]


@pytest.fixture
def trial(tmp_path: Path) -> TrialFolder:
    folder = TrialFolder(tmp_path / "trial")
    folder.complete(USERS)
    return folder


def test_keys_and_passwords_are_for_their_owner_only(trial: TrialFolder) -> None:
    modes = {
        str(file.relative_to(trial.path)): stat.S_IMODE(file.stat().st_mode)
        for file in trial.path.rglob("*")
        if file.is_file()
    }
    secret = {name for name in modes if name.endswith((".key", ".password")) or name == "broker.pem"}
    assert len(secret) == 2 + 2 * len(USERS)
    assert {modes[name] for name in secret} == {0o600}
    assert stat.S_IMODE(trial.path.stat().st_mode) == 0o700


def test_every_user_has_a_password_of_its_own(trial: TrialFolder) -> None:
    passwords = trial.users()
    assert sorted(passwords) == USERS
    assert len(set(passwords.values())) == len(USERS)
    assert min(map(len, passwords.values())) >= 32


def test_certificates_and_keys_belong_together_and_to_the_authority(trial: TrialFolder) -> None:
    context = ssl.create_default_context(cafile=str(trial.ca_file))
    context.load_cert_chain(trial.broker_file)
    for user in USERS:
        context.load_cert_chain(trial.certificate_file(user), trial.key_file(user))


def test_a_second_run_makes_only_what_is_missing(trial: TrialFolder) -> None:
    before = trial.users()
    trial.password_file(USERS[0]).unlink()
    trial.certificate_file(USERS[1]).unlink()
    made = trial.complete([*USERS, "another"])
    assert {str(file.relative_to(trial.path)) for file in made} == {
        f"users/{USERS[0]}.password",
        *(f"users/{USERS[1]}.{kind}" for kind in ("pem", "key")),
        *(f"users/another.{kind}" for kind in ("pem", "key", "password")),
    }
    assert trial.users()[USERS[0]] != before[USERS[0]]
    assert trial.users()[USERS[1]] == before[USERS[1]]
    assert trial.complete([*USERS, "another"]) == []


def test_its_configuration_loads_and_holds_no_password(trial: TrialFolder) -> None:
    settings = load_settings(trial.path / CONFIG_FILE, {})
    security = settings.kafka.security
    assert security.read_password().get_secret_value() == trial.users()["vnpulse-pipelines"]
    text = (trial.path / CONFIG_FILE).read_text()
    assert not [password for password in trial.users().values() if password in text]


def test_a_folder_that_cannot_be_used_is_one_line(trial: TrialFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used for a trial"):
        TrialFolder(tmp_path / "file").complete(USERS)
    (trial.path / "ca.key").unlink()
    with pytest.raises(UserError, match=r"ca\.key"):
        trial.complete(["another"])
    with pytest.raises(UserError, match="vnpulse security trial"):
        TrialFolder(tmp_path / "nowhere").users()
    with pytest.raises(UserError, match="vnpulse security trial"):
        TrialFolder(tmp_path / "nowhere").require_broker_files()
