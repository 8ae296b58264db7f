"""``kafka.security``: how clients of the broker authenticate."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, model_validator

from vnpulse.errors import SettingsError
from vnpulse.strict_model import FilePath, StrictModel


class KafkaSecurity(StrictModel):
    """How to authenticate. A password is never in the configuration: the environment or a file has it.

    A file is read again for every new client, so a rotated password needs no restart.
    """

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: FilePath | None = None
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    key_password: SecretStr | None = None
    key_password_file: FilePath | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        has_password = self.password or self.password_file
        if self.protocol.startswith("SASL") and not (self.mechanism and self.username and has_password):
            raise ValueError(
                f"protocol {self.protocol} needs mechanism, username (or KAFKA_USERNAME) and"
                " KAFKA_PASSWORD or KAFKA_PASSWORD_FILE in the environment, or password_file"
            )
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file needs certificate_file")
        return self

    def read_password(self) -> SecretStr:
        """Return the user's password. Raises SettingsError if its file cannot be used."""
        assert self.password or self.password_file
        return self.password or _secret_in(self.password_file, "password_file")

    def read_key_password(self) -> SecretStr:
        """Return the password of the private key, empty if none is configured. Raises SettingsError."""
        if self.key_password is None and self.key_password_file is None:
            return SecretStr("")
        return self.key_password or _secret_in(self.key_password_file, "key_password_file")


def _secret_in(path: Path | None, setting: str) -> SecretStr:
    assert path is not None
    try:
        text = path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SettingsError(f"kafka.security.{setting}: {path}: {reason}") from None
    if not text:
        raise SettingsError(f"kafka.security.{setting}: {path}: is empty")
    return SecretStr(text)
