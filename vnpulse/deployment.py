"""From settings to addresses: the embedded stack's, or those of an existing cluster."""

from __future__ import annotations

from pydantic import SecretStr

from vnpulse.embedded.kafka_security import NodeSecurity
from vnpulse.embedded.settings import EmbeddedSettings
from vnpulse.embedded.stack import EmbeddedConfig, StackAddresses, read_addresses
from vnpulse.errors import UserError
from vnpulse.kafka.security import KafkaSecurity
from vnpulse.security.trial import BROKER_USER, TrialFolder
from vnpulse.settings import Settings


def embedded_config(settings: Settings) -> EmbeddedConfig:
    """Return what to start for ``settings.embedded``. A given store.uri takes the place of ours."""
    embedded = settings.embedded
    assert embedded is not None
    security = None
    if embedded.kafka_security is not None:
        trial = TrialFolder(embedded.kafka_security)
        trial.require_broker_files()
        security = NodeSecurity(ca_file=trial.ca_file, broker_file=trial.broker_file, super_user=BROKER_USER)
    return EmbeddedConfig(
        state_dir=embedded.state_dir,
        kafka_port=embedded.kafka_port,
        kafka_security=security,
        mongo_port=embedded.mongo_port,
        ray_dashboard_port=embedded.ray_dashboard_port,
        kafka_heap_mb=embedded.kafka_heap_mb,
        mongo_cache_mb=embedded.mongo_cache_mb,
        ray_num_cpus=embedded.ray_cpus,
        ray_object_store_mb=embedded.ray_object_store_mb,
        with_mongo=settings.store.uri is None,
    )


def resolve(settings: Settings) -> Settings:
    """Return ``settings`` with every address filled in.

    With an embedded section they are those of the stack that runs in its state folder; raises
    StackNotRunning if none does.
    """
    if settings.embedded is None:
        return settings
    return with_addresses(settings, read_addresses(settings.embedded.state_dir))


def with_addresses(settings: Settings, addresses: StackAddresses) -> Settings:
    """Return ``settings`` pointing at a running stack."""
    assert addresses.kafka_bootstrap is not None
    with_certificate = settings.kafka.security.protocol == "SSL"
    bootstrap = (with_certificate and addresses.kafka_ssl_bootstrap) or addresses.kafka_bootstrap
    uri = settings.store.uri or SecretStr(addresses.mongo_uri or "")
    return settings.model_copy(
        update={
            "embedded": None,
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": (bootstrap,)}),
            "store": settings.store.model_copy(update={"uri": uri}),
            "ray": settings.ray.model_copy(
                update={"address": addresses.ray_address, "dashboard_url": addresses.ray_dashboard_url}
            ),
        }
    )


def as_super_user(settings: Settings, addresses: StackAddresses) -> Settings:
    """Return ``settings`` for what only the owner of a secured embedded Kafka may do."""
    assert settings.embedded is not None
    assert settings.embedded.kafka_security is not None
    trial = TrialFolder(settings.embedded.kafka_security)
    security = KafkaSecurity(protocol="SSL", ca_file=trial.ca_file, certificate_file=trial.broker_file)
    kafka = settings.kafka.model_copy(update={"security": security})
    return with_addresses(settings.model_copy(update={"kafka": kafka}), addresses)


def require_embedded(settings: Settings) -> EmbeddedSettings:
    """Return the embedded section. Raises UserError if the settings name an existing cluster."""
    if settings.embedded is None:
        raise UserError("this configuration names an existing cluster; there is no embedded stack to act on")
    return settings.embedded
