"""Outputs in Kafka transactions: each partition's records and its offset become visible as one."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import NamedTuple

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, ProducerFencedError
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition

from vnpulse.errors import BrokerUnavailable, PartitionTaken, StartOver, VnpulseError
from vnpulse.kafka.client_sensors import REQUEST_LATENCY, observe
from vnpulse.kafka.connection import client_options, translated
from vnpulse.kafka.producer import FLUSH_TIMEOUT_S, MAX_BLOCK_MS, MAX_REQUEST_BYTES, Unflushed
from vnpulse.kafka.progress import Progress
from vnpulse.kafka.settings import KafkaSettings
from vnpulse.metrics import NO_METRICS, Metrics
from vnpulse.streaming.outputs import Headers, Holding

log = logging.getLogger(__name__)

COMMIT_WAIT_S = 30.0
"""After this long a transaction that gets no answer is reported; it is waited for all the same."""

CLOSE_TIMEOUT_S = 1.0
"""For the client's thread to end; nothing is in flight that counts."""

RETRY_BACKOFF_MS = 20
"""The client asks again after this long when the markers of the last transaction are not written yet,
which is after every commit: the client's own 100 ms would be most of a transaction's time."""


class _Record(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class TransactionalOutputs:
    """One transactional producer for each partition consumed. See Outputs.

    The transactional id is the group, the topic and the partition (and the lane, where several
    loops share a partition): whoever claims a partition fences everybody who claimed it before,
    however partitions were spread over consumers then. A consumer that was given up for dead and
    is not gets PartitionTaken at its next ``publish``, and nothing of it becomes visible.

    What is sent is kept here until ``publish``, so a transaction is open for milliseconds, not
    for as long as handling takes, and discarding costs nothing. A transaction that fails is
    aborted and can be tried again. Where aborting fails it may have been committed after all, and
    only what Kafka holds tells: StartOver.

    kafka-python compresses per producer: everything that one input partition causes, its dead
    letters included, is compressed with ``codec``.
    """

    transactional = True

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        partitions: Sequence[int],
        group: str,
        client_id: str,
        codec: str,
        progress: Progress,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._partitions = tuple(partitions)
        self._group = group
        self._client_id = client_id
        self._codec = codec
        self._progress = progress
        self._metrics = metrics
        self._producers: dict[int, KafkaProducer] = {}
        self._sent: defaultdict[int, list[_Record]] = defaultdict(list)
        self._unanswered: dict[int, Future[None]] = {}
        self._threads = ThreadPoolExecutor(len(self._partitions), thread_name_prefix="transaction")

    @property
    def holding(self) -> Holding | None:
        """The consumer's. See Outputs."""
        return self._progress.holding

    def claim(self) -> None:
        """Fence whoever consumed these partitions before, and abort what it left open. See Outputs."""
        for partition in self._partitions:
            if partition not in self._producers:
                self._producers[partition] = self._connect(partition)

    def transactional_id(self, partition: int) -> str:
        """Return the name under which ``partition`` is claimed."""
        return ".".join(filter(None, (self._group, self._topic, str(partition), self._progress.lane)))

    def _connect(self, partition: int) -> KafkaProducer:
        tuning = self._settings.producer
        with translated(self._settings, f"claim {self._topic}/{partition}"):
            producer = KafkaProducer(
                **client_options(self._settings, f"{self._client_id}-{partition}"),
                transactional_id=self.transactional_id(partition),
                acks="all",
                retries=tuning.retries,
                batch_size=tuning.batch_size,
                linger_ms=tuning.linger_ms,
                delivery_timeout_ms=tuning.delivery_timeout_ms,
                compression_type=None if self._codec == "none" else self._codec,
                max_request_size=MAX_REQUEST_BYTES,
                max_block_ms=MAX_BLOCK_MS,
                retry_backoff_ms=RETRY_BACKOFF_MS,
            )
            observe(producer, REQUEST_LATENCY, self._answered)
            try:
                producer.init_transactions()
            except KafkaError:
                _drop(producer)
                raise
        return producer

    def _answered(self, seconds: float) -> None:
        self._metrics.timing("kafka.producer.request_latency", seconds)

    def send(
        self, cause: int, topic: str, key: str | bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Keep one record for the transaction of partition ``cause``. See Outputs."""
        raw_key = key.encode() if isinstance(key, str) else key
        self._sent[cause].append(_Record(topic, raw_key, value, list(headers)))

    def publish(self, offsets: Mapping[int, int]) -> Iterator[int]:
        """Commit one transaction for each partition of ``offsets``, at the same time. See Outputs.

        There is none for a partition whose offset stays where it is and that sends nothing.
        """
        sent, self._sent = self._sent, defaultdict(list)
        transactions: dict[int, Future[None]] = {}
        for partition, offset in offsets.items():
            if partition not in self._unanswered and not (
                sent[partition] or self._progress.moves(partition, offset)
            ):
                yield partition  # it was read further and caused nothing that is to be committed
                continue
            # One that is unanswered was about the same records: nobody goes on before it is.
            transactions[partition] = self._unanswered.get(partition) or self._threads.submit(
                self._transact, partition, offset, sent[partition]
            )
        wait(transactions.values(), COMMIT_WAIT_S)
        failure: Exception | None = None
        for partition, transaction in transactions.items():
            if not transaction.done():
                self._unanswered[partition] = transaction
                where = ", ".join(self._settings.bootstrap_servers)
                failure = failure or BrokerUnavailable(
                    f"commit {self._topic}/{partition}: Kafka at {where} does not answer"
                )
                continue
            self._unanswered.pop(partition, None)
            error = transaction.exception()
            if error is None:
                yield partition
            elif isinstance(error, StartOver) or failure is None:
                assert isinstance(error, Exception)
                failure = error
        if failure is not None:
            raise failure

    def _transact(self, partition: int, offset: int, records: list[_Record]) -> None:
        producer = self._producers[partition]
        unflushed = Unflushed()
        with (
            translated(self._settings, f"publish what {self._topic}/{partition} caused"),
            self._progress.moving(partition, offset) as committed,
        ):
            try:
                producer.begin_transaction()
                for topic, key, value, headers in records:
                    future = producer.send(topic, key=key, value=value, headers=headers)
                    future.add_errback(unflushed.failed, topic)
                    unflushed.add(topic, len(value or b"") + len(key or b""))
                producer.flush(FLUSH_TIMEOUT_S)
                if unflushed.error is not None:
                    raise unflushed.error
                producer.send_offsets_to_transaction(
                    {TopicPartition(self._topic, partition): OffsetAndMetadata(*committed, -1)},
                    ConsumerGroupMetadata(self._group),
                )
                producer.commit_transaction()
            except Exception as error:
                unflushed.report(self._metrics, answered=False)
                self._metrics.increment("kafka.transaction.abort", topic=self._topic)
                self._abort(partition, producer, error)
                raise
            unflushed.report(self._metrics, answered=True)
            self._metrics.increment("kafka.transaction.commit", topic=self._topic)

    def _abort(self, partition: int, producer: KafkaProducer, error: Exception) -> None:
        """Abort, and put a new producer in the place of the failed one. Raises StartOver.

        kafka-python counts a refused batch as sent: every later one of that producer is out of
        order for the broker. Who could abort was not fenced, and may claim the partition again.
        """
        manager = producer._transaction_manager
        assert manager is not None  # it is a transactional one
        # What the client raises may only say that something failed before; its manager knows what.
        causes = [error, manager.last_error]
        try:
            producer.abort_transaction()
            _drop(producer)
            self._producers[partition] = self._connect(partition)
        except (KafkaError, VnpulseError) as failure:
            causes += [failure, manager.last_error]
            where = f"{self._topic}/{partition}"
            if any(isinstance(cause, ProducerFencedError | InvalidProducerEpochError) for cause in causes):
                raise PartitionTaken(f"{where} was claimed by another consumer of {self._group}") from error
            raise StartOver(f"{where}: a transaction failed, and aborting it too: {failure!r}") from error

    def discard(self) -> None:
        """Forget what was sent and not published. See Outputs."""
        self._sent.clear()

    def close(self) -> None:
        """Let go of the broker. What is open is aborted by whoever claims the partition next."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for producer in self._producers.values():
            _drop(producer)
        self._producers.clear()


def _drop(producer: KafkaProducer) -> None:
    with suppress(KafkaError):
        producer.close(timeout=CLOSE_TIMEOUT_S)
