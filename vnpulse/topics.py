"""The topics as they should be, and what a cluster lacks of that. Pure: the adapter talks to Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vnpulse.configuration import CONFIG_DIR, load_model
from vnpulse.messages import Alert, AnalysisResult, AnalysisTrigger, Message, NewsItem, PriceBar
from vnpulse.strict_model import StrictModel

PRICES = "stock_prices_raw"
NEWS = "stock_news_raw"
TRIGGERS = "analysis_triggers"
RESULTS = "analysis_results"
ALERTS = "alerts"
DEAD_LETTER_SUFFIX = "_dlq"
HEALTH_TOPIC = "health-check"

STORAGE_GROUP = "storage-consumers"
ANALYSIS_GROUP = "analysis-consumers"
AGGREGATION_GROUP = "aggregation-consumers"
NOTIFICATION_GROUP = "notification-consumers"

CONSUMED = {
    PRICES: STORAGE_GROUP,
    NEWS: STORAGE_GROUP,
    TRIGGERS: ANALYSIS_GROUP,
    RESULTS: AGGREGATION_GROUP,
    ALERTS: NOTIFICATION_GROUP,
}
"""Which group consumes which topic."""

MESSAGE_TYPES: dict[str, type[Message]] = {
    PRICES: PriceBar,
    NEWS: NewsItem,
    TRIGGERS: AnalysisTrigger,
    RESULTS: AnalysisResult,
    ALERTS: Alert,
}
"""What the records of a topic hold."""

HOUR_MS = 3_600_000


def dead_letter_topic(topic: str) -> str:
    """Return the topic that takes the records of ``topic`` that cannot be used."""
    return topic + DEAD_LETTER_SUFFIX


class TopicSpec(StrictModel):
    """One topic as configured."""

    partitions: Annotated[int, Field(ge=1, le=10_000)]
    replication: Annotated[int, Field(ge=1, le=9)]
    retention_hours: Annotated[int, Field(ge=1, le=876_000)]
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"]
    cleanup: Literal["delete", "compact", "compact,delete"] = "delete"
    max_message_bytes: Annotated[int, Field(ge=1_024, le=104_857_600)] = 1_048_588

    def broker_configs(self, replication: int) -> dict[str, str]:
        """Return the topic-level settings that the broker keeps for so many replicas.

        ``min.insync.replicas`` is one less than there are replicas: with three, what was acknowledged is
        on two brokers at least, and one broker may be away.
        ``compression.type=producer``: the broker stores batches as our producers compressed them
        and does not spend CPU on doing it again. ``LogAppendTime``: timestamps say when a record
        entered the log by one clock, which is what latency is measured against; event time is in
        the message.
        """
        return {
            "retention.ms": str(self.retention_hours * HOUR_MS),
            "cleanup.policy": self.cleanup,
            "compression.type": "producer",
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(max(1, replication - 1)),
        }


class TopicsFile(StrictModel):
    """configs/topics.yaml."""

    topics: dict[str, TopicSpec]


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic as the cluster has it."""

    partitions: int
    replication: int
    configs: dict[str, str]


@dataclass(frozen=True, slots=True)
class TopicChange:
    """One thing to do, or (``possible`` false) one difference that cannot be changed in place."""

    topic: str
    kind: Literal["create", "partitions", "config", "replication"]
    detail: str
    possible: bool = True


def load_topics(path: Path = CONFIG_DIR / "topics.yaml") -> dict[str, TopicSpec]:
    """Read the topic specifications. Raises SettingsError."""
    return load_model(path, TopicsFile).topics


def plan(
    wanted: dict[str, TopicSpec], actual: dict[str, TopicState], brokers: int
) -> tuple[list[TopicChange], list[str]]:
    """Return the changes that make ``actual`` as ``wanted``, and remarks fit to be read aloud.

    Replication is capped to ``brokers``. Partitions are never removed (Kafka cannot), and the
    replication of an existing topic is reported, not changed: moving replicas loads the brokers
    and is an operator's decision.
    """
    changes: list[TopicChange] = []
    remarks: list[str] = []
    capped = sorted(name for name, spec in wanted.items() if spec.replication > brokers)
    if capped:
        highest = max(wanted[name].replication for name in capped)
        remarks.append(
            f"replication capped to {brokers} for {len(capped)} topics (configured {highest}):"
            f" the cluster has {brokers} broker{'s' if brokers != 1 else ''}"
        )
    for name, spec in wanted.items():
        replication = min(spec.replication, brokers)
        state = actual.get(name)
        if state is None:
            detail = f"{spec.partitions} partitions, replication {replication}"
            changes.append(TopicChange(name, "create", detail))
            continue
        if state.partitions != spec.partitions:
            grows = spec.partitions > state.partitions
            note = "" if grows else " (Kafka cannot remove partitions)"
            detail = f"{state.partitions} -> {spec.partitions}{note}"
            changes.append(TopicChange(name, "partitions", detail, possible=grows))
        if state.replication != replication:
            detail = f"{state.replication} -> {replication} (use kafka-reassign-partitions)"
            changes.append(TopicChange(name, "replication", detail, possible=False))
        # Of the replicas that there are: asking for more of them in sync would stop every write.
        for key, value in spec.broker_configs(state.replication).items():
            if state.configs.get(key) != value:
                changes.append(TopicChange(name, "config", f"{key}: {state.configs.get(key)} -> {value}"))
    return changes, remarks
