"""Users that log in with SCRAM, through Kafka's Admin API."""

from __future__ import annotations

from collections.abc import Mapping

from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion
from kafka.errors import ClusterAuthorizationFailedError

from vnpulse.kafka.connection import KafkaRefused, client_options, translated
from vnpulse.kafka.settings import KafkaSettings

MECHANISMS = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
ITERATIONS = 8_192


def put_users(settings: KafkaSettings, passwords: Mapping[str, str]) -> None:
    """Create users, or change their passwords, for SCRAM-SHA-256 and SCRAM-SHA-512.

    The broker gets salted hashes, not passwords. Raises BrokerUnavailable, KafkaRefused.
    """
    with translated(settings, "put users (Alter on the cluster)"):
        client = KafkaAdminClient(**client_options(settings, "vnpulse-users"))
        try:
            # Kafka takes a user only once in a request.
            for mechanism in MECHANISMS:
                answers = client.alter_user_scram_credentials(
                    [
                        UserScramCredentialUpsertion(user, mechanism, password, iterations=ITERATIONS)
                        for user, password in passwords.items()
                    ]
                )
                refused = {user: reason for user, reason in answers.items() if reason}
                if any("Request(" in reason for reason in refused.values()):
                    # kafka-python gives messages without their codes; this one repeats the request.
                    raise ClusterAuthorizationFailedError
                if refused:
                    listed = "; ".join(f"{user}: {reason}" for user, reason in refused.items())
                    raise KafkaRefused(f"put users: {listed}")
        finally:
            client.close()
