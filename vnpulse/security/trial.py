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

CONFIG_FILE = "vnpulse.yaml"

PASSWORD_BYTES = 24
LOCAL_HOSTS = ("127.0.0.1", "localhost")

_CONFIG = """\
# Written by `vnpulse security trial`. Kafka speaks TLS only and gives each user the rights of
# configs/acls.yaml. `vnpulse up` runs all pipelines as the user below. Another command needs a user that
# may do what it does, for example
#   KAFKA_USERNAME=vnpulse-collector KAFKA_PASSWORD_FILE={folder}/users/vnpulse-collector.password
embedded:
  state_dir: "{folder}/state"
  kafka_security: "{folder}"

kafka:
  security:
    protocol: SASL_SSL             # or SSL, with certificate_file and key_file of a user
    mechanism: SCRAM-SHA-512
    ca_file: "{folder}/ca.pem"
    username: vnpulse-pipelines
    password_file: "{folder}/users/vnpulse-pipelines.password"
  consumer: {{max_poll_records: 1000, fetch_min_bytes: 1, fetch_max_wait_ms: 100}}

channels:
  - {{kind: console}}
"""


@dataclass(frozen=True)
class TrialFolder:
    """Where things are. Everything but certificates is readable by its owner only.

    ::

        vnpulse.yaml               settings for `vnpulse up`, to start from
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

    def require_broker_files(self) -> None:
        """Raise UserError if a broker cannot be started with this folder."""
        for file in (self.ca_file, self.broker_file):
            if not file.is_file():
                raise UserError(f"{file}: no such file; make it with `vnpulse security trial {self.path}`")

    def users(self) -> dict[str, str]:
        """Return the password of each user. Raises UserError if there are none."""
        try:
            passwords = {
                file.stem: file.read_text(encoding="utf-8").strip()
                for file in sorted((self.path / "users").glob("*.password"))
            }
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.path}: passwords cannot be read: {error}") from None
        if not passwords:
            raise UserError(f"{self.path}: no users/*.password in it; `vnpulse security trial` makes them")
        return passwords

    def complete(self, users: Sequence[str], hosts: Sequence[str] = LOCAL_HOSTS) -> list[Path]:
        """Make what is missing of authority, broker certificate and users, and return those files.

        To replace a password or certificate, delete its file first. Raises UserError.
        """
        made: list[Path] = []
        try:
            (self.path / "users").mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            authority = self._authority(made)
            if not self.broker_file.exists():
                certificate, key = authority.issue(BROKER_USER, hosts)
                write_private(self.broker_file, key + certificate)
                made.append(self.broker_file)
            for user in users:
                files = self.certificate_file(user), self.key_file(user)
                if not all(file.exists() for file in files):
                    certificate, key = authority.issue(user)
                    write_private(self.key_file(user), key)
                    self.certificate_file(user).write_bytes(certificate)
                    made += files
                if not self.password_file(user).exists():
                    write_private(
                        self.password_file(user), secrets.token_urlsafe(PASSWORD_BYTES).encode() + b"\n"
                    )
                    made.append(self.password_file(user))
            config = self.path / CONFIG_FILE
            if not config.exists():
                config.write_text(_CONFIG.format(folder=self.path), encoding="utf-8")
                made.append(config)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path}: cannot be used for a trial: {error}") from None
        return made

    def _authority(self, made: list[Path]) -> CertificateAuthority:
        key = self.path / "ca.key"
        if self.ca_file.exists():
            return CertificateAuthority.load(self.ca_file, key)
        authority = CertificateAuthority.create("vnpulse trial authority")
        authority.write(self.ca_file, key)
        made += [self.ca_file, key]
        return authority
