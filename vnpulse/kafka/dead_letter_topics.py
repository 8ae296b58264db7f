"""Dead letters after they were sent: found again, sent back where they came from, deleted.

A dead letter that was redriven stays where it is. In the same transaction that sends its record
back, a note to that effect goes into the dead-letter topic itself: a record without a value whose
header names the letter. So a redrive that is killed has, for each letter, done both or nothing,
and the next one goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.connection import client_options, translated
from vnpulse.kafka.consumer import AssignedConsumer, LoggedRecord
from vnpulse.kafka.dead_letters import OWN_HEADERS
from vnpulse.kafka.producer import FLUSH_TIMEOUT_S, MAX_BLOCK_MS, MAX_REQUEST_BYTES
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.topics import DEAD_LETTER_SUFFIX

MAX_REDRIVES = 3
"""A record that came back so often is not sent again: what makes it fail must be found first."""

REDRIVEN = "redriven"
"""Header of a record that was sent back: how often by now. A dead letter keeps it."""

NOTE = "redriven-letter"
"""Header of a note: partition/offset of the letter that was redriven."""

LETTERS_PER_TRANSACTION = 500
POLL_MS = 1_000


@dataclass(frozen=True)
class Letters:
    """What a dead-letter topic holds: by partition and offset, and which of it was redriven."""

    all: list[LoggedRecord]
    redriven: frozenset[tuple[int, int]]

    @property
    def open(self) -> list[LoggedRecord]:
        """Return those that were not redriven."""
        return [letter for letter in self.all if (letter.partition, letter.offset) not in self.redriven]


class DeadLetterTopic:
    """One dead-letter topic. A context manager; raises BrokerUnavailable or KafkaRefused.

    ``topic`` is its name on the cluster; ``exists`` says whether it is there.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self.topic = topic
        self.original = topic.removesuffix(DEAD_LETTER_SUFFIX)
        with KafkaAdmin(settings) as admin:
            states = admin.topics([topic])
        self.exists = topic in states
        self._partitions = range(states[topic].partitions if self.exists else 0)
        self._producer: KafkaProducer | None = None

    def __enter__(self) -> DeadLetterTopic:
        return self

    def __exit__(self, *_: object) -> None:
        if self._producer is not None:
            with suppress(KafkaError):
                self._producer.close(timeout=1)

    def read(self) -> Letters:
        """Return all that the topic holds now, ordered by partition and offset."""
        if not self.exists:
            return Letters([], frozenset())
        found: list[LoggedRecord] = []
        consumer = AssignedConsumer(self._settings, self.topic, self._partitions, None, "vnpulse-dlq")
        try:
            ends = consumer.end_offsets()
            for partition, offset in consumer.beginning_offsets().items():
                consumer.seek(partition, offset)
            while any(consumer.positions[p] < end for p, end in ends.items()):
                found += consumer.poll_records(POLL_MS)
        finally:
            consumer.close()
        found.sort(key=lambda record: (record.partition, record.offset))
        redriven = set()
        for record in found:
            if NOTE in record.headers:
                of_partition, _, of_offset = record.headers[NOTE].partition("/")
                redriven.add((int(of_partition), int(of_offset)))
        return Letters([r for r in found if NOTE not in r.headers], frozenset(redriven))

    def claim(self) -> None:
        """Become the only one who redrives this topic; what another has open is aborted.

        Before ``read``, so that what it says cannot change behind our back.
        """
        with translated(self._settings, f"redrive {self.topic}"):
            self._producer = KafkaProducer(
                **client_options(self._settings, "vnpulse-dlq"),
                transactional_id=f"{self._settings.topic_prefix}redrive.{self.topic}",
                acks="all",
                compression_type="snappy",
                max_request_size=MAX_REQUEST_BYTES,
                max_block_ms=MAX_BLOCK_MS,
            )
            self._producer.init_transactions()

    def refusal(self, letter: LoggedRecord) -> str | None:
        """Return why ``letter`` cannot be redriven, or None if it can."""
        headers = letter.headers
        if headers.get("original-topic") != self.original:
            return f"it does not come from {self.original}"
        if "truncated-from-bytes" in headers:
            return "only its beginning was kept"
        if letter.value is None and not letter.key:
            return "it has neither key nor value"
        if _redrives(letter) >= MAX_REDRIVES:
            return f"it was redriven {_redrives(letter)} times and failed again"
        return None

    def redrive(self, letters: Sequence[LoggedRecord]) -> None:
        """Send ``letters``, none of which is refused, back; each keeps its key. After ``claim``."""
        producer = self._producer
        assert producer is not None
        for start in range(0, len(letters), LETTERS_PER_TRANSACTION):
            with translated(self._settings, f"redrive {self.topic}"):
                producer.begin_transaction()
                futures = []
                for letter in letters[start : start + LETTERS_PER_TRANSACTION]:
                    kept = [(n, v) for n, v in letter.raw_headers if n not in OWN_HEADERS and n != REDRIVEN]
                    count = (REDRIVEN, str(_redrives(letter) + 1).encode())
                    note = [(NOTE, f"{letter.partition}/{letter.offset}".encode())]
                    futures.append(
                        producer.send(
                            self.original, key=letter.key, value=letter.value, headers=[*kept, count]
                        )
                    )
                    producer.send(self.topic, key=letter.key or b"", headers=note)
                producer.flush(FLUSH_TIMEOUT_S)
                for future in futures:
                    future.get(timeout=0)
                producer.commit_transaction()

    def purge_to(self, before_ms: int | None) -> dict[int, int]:
        """Return, by partition, the offset below which every record was appended before ``before_ms``.

        Without ``before_ms``, the end. Partitions with nothing to delete are left out.
        """
        consumer = AssignedConsumer(self._settings, self.topic, self._partitions, None, "vnpulse-dlq")
        try:
            begins, ends = consumer.beginning_offsets(), consumer.end_offsets()
        finally:
            consumer.close()
        if before_ms is not None:
            for letter in reversed(self.read().all):
                if letter.timestamp >= before_ms:
                    ends[letter.partition] = letter.offset
        return {p: end for p, end in ends.items() if end > begins[p]}

    def purge(self, offsets: dict[int, int]) -> None:
        """Delete every record below ``offsets``, for good. Repeating it is harmless."""
        with translated(self._settings, f"purge {self.topic}"):
            admin = KafkaAdminClient(**client_options(self._settings, "vnpulse-dlq"))
            try:
                admin.delete_records({TopicPartition(self.topic, p): o for p, o in offsets.items()})
            finally:
                admin.close()


def _redrives(letter: LoggedRecord) -> int:
    count = letter.headers.get(REDRIVEN, "0")
    return int(count) if count.isdecimal() else MAX_REDRIVES
