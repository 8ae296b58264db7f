"""Who may do what, and what a cluster's ACLs lack of that. Pure: the adapter talks to Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.errors import SettingsError
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.strict_model import StrictModel
from vnpulse.topics import CONSUMED, HEALTH_TOPIC

TopicOperation = Literal[
    "Read", "Write", "Create", "Delete", "Alter", "Describe", "AlterConfigs", "DescribeConfigs"
]
GroupOperation = Literal["Read", "Describe", "Delete"]
TransactionalIdOperation = Literal["Write", "Describe"]
ClusterOperation = Literal[
    "Describe", "Alter", "DescribeConfigs", "AlterConfigs", "Create", "IdempotentWrite"
]

ResourceType = Literal["topic", "group", "transactional id", "cluster"]
Pattern = Literal["literal", "prefixed"]

Every = Literal["every"]

CLUSTER_NAME = "kafka-cluster"
"""What Kafka calls the one resource of the type cluster."""

ANY_NAME = "*"
ANY_HOST = "*"


@dataclass(frozen=True, order=True, slots=True)
class Acl:
    """One right, as the broker keeps it. ``permission`` is Allow or Deny."""

    principal: str
    operation: str
    resource_type: str
    name: str
    pattern: str = "literal"
    permission: str = "Allow"
    host: str = ANY_HOST

    def __str__(self) -> str:
        may = "may" if self.permission == "Allow" else "must not"
        beginning = " names beginning with" if self.pattern == "prefixed" else ""
        name = "" if self.resource_type == "cluster" else f"{beginning} {self.name}"
        where = "" if self.host == ANY_HOST else f" from {self.host}"
        return f"{self.principal} {may} {self.operation} {self.resource_type}{name}{where}"


class ComponentRights(StrictModel):
    """What the principals of one component may do, by operation."""

    principals: Annotated[tuple[Annotated[str, Field(pattern=r"^User:\S+$")], ...], Field(min_length=1)]
    topics: dict[TopicOperation, Every | tuple[str, ...]] = Field(default_factory=dict)
    groups: dict[GroupOperation, Every | tuple[str, ...]] = Field(default_factory=dict)
    transactional_ids: dict[TransactionalIdOperation, tuple[str, ...]] = Field(default_factory=dict)
    cluster: tuple[ClusterOperation, ...] = ()


class AclsFile(StrictModel):
    """configs/acls.yaml."""

    components: dict[str, ComponentRights]

    def users(self) -> list[str]:
        """Return the names of all principals, without ``User:``."""
        names = {p for rights in self.components.values() for p in rights.principals}
        return sorted(name.removeprefix("User:") for name in names)


def load_acls(topics: Iterable[str], path: Path = CONFIG_DIR / "acls.yaml") -> AclsFile:
    """Read the rights. Raises SettingsError, also for a topic or group that does not exist.

    ``topics`` are those of configs/topics.yaml.
    """
    file = load_model(path, AclsFile)
    known = {"topics": {*topics, HEALTH_TOPIC}, "groups": set(CONSUMED.values())}
    for component, rights in file.components.items():
        for kind, names in known.items():
            for operation, listed in getattr(rights, kind).items():
                for name in () if listed == "every" else listed:
                    if name not in names:
                        raise SettingsError(
                            f"{path}: components.{component}.{kind}.{operation}: was {name},"
                            f" allowed: every, {', '.join(sorted(names))}"
                        )
    return file


def wanted_acls(file: AclsFile, topics: Iterable[str], kafka: KafkaSettings) -> set[Acl]:
    """Return every right that ``file`` gives, by the names on the cluster."""
    every_topic = (*topics, HEALTH_TOPIC)
    acls = set()
    for rights in file.components.values():
        granted: list[tuple[str, ResourceType, str, Pattern]] = []
        for operation, names in rights.topics.items():
            chosen = every_topic if names == "every" else names
            granted += [(operation, "topic", kafka.topic(name), "literal") for name in chosen]
        for of_group, names in rights.groups.items():
            chosen = tuple(CONSUMED.values()) if names == "every" else names
            granted += [(of_group, "group", kafka.group(name), "literal") for name in chosen]
        for of_id, prefixes in rights.transactional_ids.items():
            granted += [(of_id, "transactional id", kafka.group(name), "prefixed") for name in prefixes]
        granted += [(of_cluster, "cluster", CLUSTER_NAME, "literal") for of_cluster in rights.cluster]
        acls |= {Acl(principal, *right) for principal in rights.principals for right in granted}
    return acls


def compare(wanted: set[Acl], actual: set[Acl], kafka: KafkaSettings) -> tuple[list[Acl], list[Acl]]:
    """Return what is missing and what is surplus, each in order.

    Surplus is what ``actual`` gives beyond ``wanted`` to our principals, or to anybody on our topics,
    groups and transactional ids, by their exact names. With a topic prefix, other deployments' rights of
    the same principals are left alone.
    """
    principals = {acl.principal for acl in wanted}
    resources = {(acl.resource_type, acl.name) for acl in wanted if acl.resource_type != "cluster"}

    def is_ours(acl: Acl) -> bool:
        if (acl.resource_type, acl.name) in resources:
            return True
        in_reach = acl.name in (ANY_NAME, CLUSTER_NAME) or acl.name.startswith(kafka.topic_prefix)
        return acl.principal in principals and in_reach

    return sorted(wanted - actual), sorted(acl for acl in actual - wanted if is_ours(acl))
