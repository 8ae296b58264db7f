"""What makes a Kafka node speak TLS only, know its users and ask an authorizer.

Two listeners for clients: ``SSL`` with a client certificate (brokers and controllers use it, too) and
``SASL_SSL`` with a user's password. Principals are ``User:NAME``, NAME being the user or the common name
of the certificate. Nothing may do anything until an ACL says so, but for the super user.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SSL_LISTENER, SASL_LISTENER, CONTROLLER_LISTENER = "SSL", "SASL_SSL", "CONTROLLER"

_PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


@dataclass(frozen=True, kw_only=True)
class NodeSecurity:
    """``broker_file`` holds key and certificate in PEM; ``super_user`` is the certificate's common name.

    ``plain_users`` (name to password) may log in with PLAIN. The broker keeps their passwords in its
    properties; those of SCRAM users it never learns.
    """

    ca_file: Path
    broker_file: Path
    super_user: str
    plain_users: Mapping[str, str] = field(default_factory=dict, repr=False)

    def properties(self) -> dict[str, str]:
        """Return the broker's settings; listeners and their ports are the node's own affair."""
        mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-512", *(["PLAIN"] if self.plain_users else [])]
        sasl = f"listener.name.{SASL_LISTENER.lower()}"
        properties = {
            "inter.broker.listener.name": SSL_LISTENER,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.broker_file),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
            f"listener.name.{SSL_LISTENER.lower()}.ssl.client.auth": "required",
            f"listener.name.{CONTROLLER_LISTENER.lower()}.ssl.client.auth": "required",
            f"{sasl}.ssl.client.auth": "none",
            f"{sasl}.sasl.enabled.mechanisms": ",".join(mechanisms),
            f"{sasl}.scram-sha-256.sasl.jaas.config": f"{_SCRAM_MODULE} required;",
            f"{sasl}.scram-sha-512.sasl.jaas.config": f"{_SCRAM_MODULE} required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{self.super_user}",
        }
        if self.plain_users:
            users = " ".join(
                f'user_{name}="{_quoted(password)}"' for name, password in self.plain_users.items()
            )
            properties[f"{sasl}.plain.sasl.jaas.config"] = f"{_PLAIN_MODULE} required {users};"
        return properties

    def probe_context(self) -> ssl.SSLContext:
        """Return what a client needs to look at the SSL listener as the broker itself."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(self.broker_file)
        return context


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
