"""A consumer process that copies `in` to `out` in transactions, and dies or hangs where a test wants it.

``python -m tests.integration.kafka.echo_consumer CONFIG COUNT [SIGNAL]`` ends when COUNT records of each
partition are behind it. With SIGNAL (a number) it sends that to itself once, in the middle of its second
transaction: the records are on the broker, the offset is not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.progress import SoleProgress
from vnpulse.kafka.transactions import TransactionalOutputs
from vnpulse.settings import load_settings
from vnpulse.streaming.loop import PartitionLoop

PARTITIONS = (0, 1)
GROUP = "echoes"


class Echo:
    """Sends every value on, and stops the loop when all of them have been settled."""

    def __init__(self, outputs: TransactionalOutputs, topic: str, count: int) -> None:
        self._outputs = outputs
        self._topic = topic
        self._left = dict.fromkeys(PARTITIONS, count)
        self.loop: PartitionLoop

    def handle(self, batches: list[PartitionBatch]) -> dict[int, int]:
        for batch in batches:
            for value in batch.values:
                self._outputs.send(batch.partition, self._topic, None, value)
        return {batch.partition: batch.next_offset for batch in batches}

    def reject(self, batch: PartitionBatch, rejections: list[Rejection], attempts: int) -> None:
        raise AssertionError(rejections)

    def waiting(self, positions: Mapping[int, int]) -> Mapping[int, int]:
        return {}

    def settled(self, partition: int, offset: int) -> None:
        if offset >= self._left[partition]:
            del self._left[partition]
        if not self._left:
            self.loop.stop()

    def close(self) -> None:
        print("done")


def signal_in_the_second_transaction(number: int) -> None:
    """Make the client send this process ``number`` when it is about to send the second offset."""
    original = KafkaProducer.send_offsets_to_transaction
    calls = [0]

    def send_offsets(self: KafkaProducer, *arguments: Any) -> None:
        calls[0] += 1
        if calls[0] == len(PARTITIONS) + 1:
            os.kill(os.getpid(), number)
        original(self, *arguments)

    KafkaProducer.send_offsets_to_transaction = send_offsets  # type: ignore[method-assign]


def main(config: str, count: str, *signals: str) -> None:
    """Run until all is copied."""
    settings = load_settings(Path(config)).kafka
    settings = settings.model_copy(
        update={"consumer": settings.consumer.model_copy(update={"max_poll_records": 20})}
    )
    for number in signals:
        signal_in_the_second_transaction(int(number))
    source, target = settings.topic("in"), settings.topic("out")
    group = settings.group(GROUP)
    outputs = TransactionalOutputs(settings, source, PARTITIONS, group, "echo", "snappy", SoleProgress())
    echo = Echo(outputs, target, int(count))
    echo.loop = PartitionLoop(
        lambda: AssignedConsumer(settings, source, PARTITIONS, group, "echo"), echo, outputs
    )
    echo.loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
