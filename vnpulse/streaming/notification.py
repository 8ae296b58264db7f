"""Group notification-consumers: alerts go to the channels."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Decode, Rejection, decode_each
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import Alert
from vnpulse.notification.channels import NotificationChannel

REMEMBERED_ALERTS = 100_000
"""Ids kept to recognise an alert that comes again; some weeks of alerts, about 10 MB."""

_decode_alert: Decode[Alert] = msgspec.json.Decoder(Alert).decode


class AlertHandler:
    """Hands each alert to every channel. At least once: a crash before the commit repeats a batch,
    and channels that can tell (the file) drop what they already have."""

    def __init__(
        self,
        channels: Sequence[NotificationChannel],
        dead_letters: DeadLetters,
        decode: Decode[Alert] = _decode_alert,
    ) -> None:
        self._decode = decode
        self._channels = channels
        self._dead_letters = dead_letters
        self._taken: defaultdict[str, set[str]] = defaultdict(set)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.counts: Counter[str] = Counter()

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        """Send the alerts of ``batches``. See Handler."""
        alerts: dict[str, Alert] = {}
        rejected: list[tuple[PartitionBatch, list[Rejection]]] = []
        for batch in batches:
            decoded, _, rejections = decode_each(batch.values, self._decode)
            rejected.append((batch, rejections))
            alerts |= {alert.alert_id: alert for alert in decoded if alert.alert_id not in self._seen}
        in_order = sorted(alerts.values(), key=lambda alert: alert.timestamp)
        failure: Exception | None = None
        for channel in self._channels:
            fresh = [alert for alert in in_order if alert.alert_id not in self._taken[channel.name]]
            try:
                channel.send(fresh)
            except Exception as error:
                failure = failure or error
                continue
            self._taken[channel.name].update(alert.alert_id for alert in fresh)
            self.counts[f"sent_{channel.name}"] += len(fresh)
        if failure is not None:
            raise failure
        self._taken.clear()
        self._remember(alerts)
        for batch, rejections in rejected:
            self._dead_letters.send(batch, rejections)
        return {batch.partition: batch.next_offset for batch in batches}

    def _remember(self, alerts: dict[str, Alert]) -> None:
        self._seen.update(dict.fromkeys(alerts))
        while len(self._seen) > REMEMBERED_ALERTS:
            self._seen.popitem(last=False)

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        """Dead-letter rows of ``batch``."""
        self._dead_letters.send(batch, rejections, attempts)

    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        """Hold nothing back. See Handler."""
        return {}

    def settled(self, partition: int, offset: int) -> None:
        """Do nothing: the channels have what they have."""

    def close(self) -> None:
        """Do nothing: there is nothing to keep."""
