"""How far every consumer group is behind, and how many dead letters there are."""

from __future__ import annotations

from vnpulse.kafka.admin import KafkaAdmin, PartitionLag
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import CONSUMED, dead_letter_topic


class LagReader:
    """Reads lags over one connection. A context manager."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = KafkaAdmin(settings)

    def __enter__(self) -> LagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()

    def read(self) -> list[PartitionLag]:
        """Return the lag of every consumer group on every partition that it consumes."""
        rows: list[PartitionLag] = []
        for topic, group in CONSUMED.items():
            rows += self._admin.lag(self._settings.group(group), [self._settings.topic(topic)])
        return rows

    def dead_letters(self) -> dict[str, int]:
        """Return how many records each dead-letter topic holds, by its name without prefix."""
        names = [dead_letter_topic(topic) for topic in CONSUMED]
        ranges = self._admin.lag(
            self._settings.group("dead-letters"), [self._settings.topic(n) for n in names]
        )
        counts = dict.fromkeys(names, 0)
        for row in ranges:
            counts[row.topic.removeprefix(self._settings.topic_prefix)] += row.end - row.begin
        return counts


def total_by_topic(rows: list[PartitionLag]) -> dict[str, int]:
    """Return the lag summed over partitions, by topic as it is on the cluster."""
    totals: dict[str, int] = {}
    for row in rows:
        totals[row.topic] = totals.get(row.topic, 0) + row.lag
    return totals
