"""A cluster's ACLs, through Kafka's Admin API."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError, SecurityDisabledError

from vnpulse.acls import Acl
from vnpulse.errors import BrokerUnavailable, UserError
from vnpulse.kafka.connection import KafkaRefused, client_options, translated
from vnpulse.kafka.settings import KafkaSettings

VISIBLE_TIMEOUT_S = 10.0
VISIBLE_PERIOD_S = 0.05
"""A change goes through the controllers' log before the brokers that are asked know it."""

_EVERYTHING = ACLFilter(
    principal=None,
    host=None,
    operation=ACLOperation.ANY,
    permission_type=ACLPermissionType.ANY,
    resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)


class AclAdmin:
    """Reads and changes ACLs. A context manager; raises BrokerUnavailable or KafkaRefused.

    Raises UserError where the cluster has no authorizer: there everybody may do everything.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        with translated(settings, "administer"):
            self._client = KafkaAdminClient(**client_options(settings, "vnpulse-acls"))

    def __enter__(self) -> AclAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read(self) -> set[Acl]:
        """Return all ACLs of the cluster, other people's included."""
        with translated(self._settings, "read ACLs (Describe on the cluster)"):
            try:
                found, _ = self._client.describe_acls(_EVERYTHING)
            except SecurityDisabledError as error:
                where = ", ".join(self._settings.bootstrap_servers)
                raise UserError(
                    f"Kafka at {where} has no authorizer (authorizer.class.name): everybody may do everything"
                ) from error
        return {_ours(acl) for acl in found}

    def add(self, acls: Collection[Acl]) -> None:
        """Create ACLs and wait until they can be read. Repeating it is harmless."""
        if not acls:
            return
        with translated(self._settings, "add ACLs (Alter on the cluster)"):
            answer = self._client.create_acls([_theirs(acl) for acl in acls])
            _raise_first(answer["failed"])
        self._await(lambda actual: actual.issuperset(acls))

    def remove(self, acls: Collection[Acl]) -> None:
        """Delete exactly these ACLs and wait until they are gone. Repeating it is harmless."""
        if not acls:
            return
        with translated(self._settings, "remove ACLs (Alter on the cluster)"):
            answers = self._client.delete_acls([_filter_of(acl) for acl in acls])
            _raise_first(error for _, _, error in answers if error.errno)
        self._await(lambda actual: actual.isdisjoint(acls))

    def _await(self, condition: Any) -> None:
        give_up_at = time.monotonic() + VISIBLE_TIMEOUT_S
        while not condition(self.read()):
            if time.monotonic() > give_up_at:
                raise BrokerUnavailable(f"changed ACLs cannot be seen after {VISIBLE_TIMEOUT_S:.0f} s")
            time.sleep(VISIBLE_PERIOD_S)


def _raise_first(errors: Iterable[type[KafkaError]]) -> None:
    for error in errors:
        raise error if issubclass(error, KafkaError) else KafkaRefused(str(error))


def _kafkas(name: str) -> str:
    """Return the name of an enumeration's member in kafka-python: ``DescribeConfigs`` -> DESCRIBE_CONFIGS."""
    return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).replace(" ", "_").upper()


def _camel(member: Any) -> str:
    return "".join(part.capitalize() for part in member.name.split("_"))


def _ours(acl: ACL) -> Acl:
    pattern = acl.resource_pattern
    return Acl(
        principal=acl.principal,
        operation=_camel(acl.operation),
        resource_type=pattern.resource_type.name.lower().replace("_", " "),
        name=pattern.resource_name,
        pattern=pattern.pattern_type.name.lower(),
        permission=_camel(acl.permission_type),
        host=acl.host,
    )


def _parts(acl: Acl) -> dict[str, Any]:
    return {
        "principal": acl.principal,
        "host": acl.host,
        "operation": ACLOperation[_kafkas(acl.operation)],
        "permission_type": ACLPermissionType[acl.permission.upper()],
    }


def _theirs(acl: Acl) -> ACL:
    return ACL(**_parts(acl), resource_pattern=ResourcePattern(*_resource(acl)))


def _filter_of(acl: Acl) -> ACLFilter:
    return ACLFilter(**_parts(acl), resource_pattern=ResourcePatternFilter(*_resource(acl)))


def _resource(acl: Acl) -> tuple[ResourceType, str, ACLResourcePatternType]:
    return (
        ResourceType[_kafkas(acl.resource_type)],
        acl.name,
        ACLResourcePatternType[acl.pattern.upper()],
    )
