"""A folder with everything that a trial of the secured transport needs: authority, broker, users."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vnpulse.errors import UserError
from vnpulse.security.certificates import CertificateAuthority, write_private

BROKER_USER = "vnpulse-broker"
"""The broker's own principal, and the only super user."""

PASSWORD_BYTES = 24
LOCAL_HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class TrialFolder:
    """Where things are. Everything but certificates is readable by its owner only.

    ::

        ca.pem, ca.key             the authority
        broker.pem                 the broker's key and certificate, as Kafka wants them: in one file
        users/NAME.password        for SCRAM and PLAIN
        users/NAME.pem, NAME.key   for mutual TLS
    """

    path: Path

    @property
    def ca_file(self) -> Path:
        return self.path / "ca.pem"

    @property
    def broker_file(self) -> Path:
        return self.path / "broker.pem"

    def password_file(self, user: str) -> Path:
        return self.path / "users" / f"{user}.password"

    def certificate_file(self, user: str) -> Path:
        return self.path / "users" / f"{user}.pem"

    def key_file(self, user: str) -> Path:
        return self.path / "users" / f"{user}.key"

    def users(self) -> dict[str, str]:
        """Return the password of each user. Raises UserError if there are none."""
        files = sorted((self.path / "users").glob("*.password"))
        if not files:
            raise UserError(
                f"{self.path}: no users/*.password in it: make them with `vnpulse security trial`"
            )
        return {file.stem: file.read_text(encoding="utf-8").strip() for file in files}

    def create(self, users: Sequence[str], hosts: Sequence[str] = LOCAL_HOSTS) -> None:
        """Make authority, broker certificate and users. Raises UserError if an authority is there already."""
        if self.ca_file.exists():
            raise UserError(f"{self.ca_file} exists: remove the folder to make a trial anew, or name another")
        try:
            (self.path / "users").mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            authority = CertificateAuthority.create("vnpulse trial authority")
            certificate, key = authority.issue(BROKER_USER, hosts)
            write_private(self.broker_file, key + certificate)
            for user in users:
                certificate, key = authority.issue(user)
                self.certificate_file(user).write_bytes(certificate)
                write_private(self.key_file(user), key)
                password = secrets.token_urlsafe(PASSWORD_BYTES)
                write_private(self.password_file(user), password.encode() + b"\n")
            # Last: what is half made can be made again.
            authority.write(self.ca_file, self.path / "ca.key")
        except OSError as error:
            raise UserError(f"{self.path}: cannot be used for a trial: {error}") from None
