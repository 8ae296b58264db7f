"""Records and the offset that caused them are one: by real processes that die or hang in between."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import psutil
import pytest

from tests.integration.kafka.echo_consumer import GROUP
from tests.integration.trial import COMMAND_TIMEOUT_S, ROOT, Trial
from tests.integration.waiting import eventually
from vnpulse.errors import PartitionTaken
from vnpulse.kafka.admin import KafkaAdmin
from vnpulse.kafka.connection import KafkaRefused
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.partitioning import partition_of
from vnpulse.kafka.progress import SoleProgress
from vnpulse.kafka.transactions import TransactionalOutputs

COUNT = 100
"""Records of each partition: several transactions of 20."""

Claim = Callable[..., TransactionalOutputs]


@pytest.fixture
def claim(trial: Trial) -> Iterator[Claim]:
    """Claims partitions of topic `in`."""
    made: list[TransactionalOutputs] = []

    def claim_partitions(*partitions: int) -> TransactionalOutputs:
        outputs = TransactionalOutputs(
            trial.settings.kafka,
            trial.topic("in"),
            partitions,
            trial.settings.kafka.group(GROUP),
            "test",
            "snappy",
            SoleProgress(),
        )
        made.append(outputs)
        outputs.claim()
        return outputs

    yield claim_partitions
    for outputs in made:
        outputs.close()


@pytest.fixture
def topics(trial: Trial) -> str:
    """`in` and `out`; returns the name of the latter."""
    trial.make_topic("in", 3)
    return trial.make_topic("out", 1, max_message_bytes=20_000)


def committed(trial: Trial) -> dict[int, int | None]:
    group = trial.settings.kafka.group(GROUP)
    with KafkaAdmin(trial.settings.kafka) as admin:
        return {row.partition: row.committed for row in admin.lag(group, [trial.topic("in")])}


def visible(trial: Trial, *values: bytes) -> bool:
    """Whether ``values`` are what a reader sees; the broker writes its markers after it answers a commit."""
    return eventually(lambda: [record.value for record in trial.records("out")] == list(values))


def test_records_and_offsets_become_visible_together(trial: Trial, topics: str, claim: Claim) -> None:
    outputs = claim(0, 1)
    outputs.send(0, topics, "VCB", b"of 0", [("why", b"test")])
    outputs.send(1, topics, None, b"of 1")
    outputs.send(2, topics, None, b"of nobody")
    assert sorted(outputs.publish({0: 5, 1: 7})) == [0, 1]
    assert eventually(lambda: sorted(r.value or b"" for r in trial.records("out")) == [b"of 0", b"of 1"])
    assert eventually(lambda: committed(trial) == {0: 5, 1: 7, 2: None})
    outputs.send(0, topics, None, b"thought better of")
    outputs.discard()
    assert list(outputs.publish({0: 6})) == [0]
    assert eventually(lambda: committed(trial)[0] == 6)
    assert len(trial.records("out")) == 2


def test_a_transaction_that_the_broker_refuses_leaves_nothing_and_can_be_tried_again(
    trial: Trial, topics: str, claim: Claim
) -> None:
    outputs = claim(0, 1)
    outputs.send(0, topics, None, b"fits")
    outputs.send(0, topics, None, random.Random(1).randbytes(50_000))
    outputs.send(1, topics, None, b"the other's")
    done = outputs.publish({0: 1, 1: 1})
    assert next(done) == 1
    with pytest.raises(KafkaRefused, match="MessageSizeTooLarge"):
        next(done)
    assert visible(trial, b"the other's")
    assert committed(trial)[0] is None
    outputs.send(0, topics, None, b"smaller")
    assert list(outputs.publish({0: 1})) == [0]
    assert visible(trial, b"the other's", b"smaller")


def test_who_claims_a_partition_fences_whoever_had_it_however_partitions_were_spread(
    trial: Trial, topics: str, claim: Claim
) -> None:
    older = claim(0, 1)
    newer = claim(1, 2)
    for outputs, name in ((older, b"older"), (newer, b"newer")):
        outputs.send(1, topics, None, name)
    older.send(0, topics, None, b"still its own")
    done = older.publish({0: 3, 1: 3})
    assert next(done) == 0
    with pytest.raises(PartitionTaken, match=r"in/1 was claimed by another consumer of .*echoes"):
        next(done)
    assert list(newer.publish({1: 4})) == [1]
    assert visible(trial, b"still its own", b"newer")
    assert eventually(lambda: committed(trial) == {0: 3, 1: 4, 2: None})


def echo(trial: Trial, *signals: signal.Signals) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.integration.kafka.echo_consumer", trial.config, COUNT]
    return subprocess.Popen(
        [str(word) for word in [*words, *map(int, signals)]],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=COMMAND_TIMEOUT_S)
    return process.returncode, errors


EVERYTHING = Counter(b"%d/%d" % (partition, i) for partition in (0, 1) for i in range(COUNT))


@pytest.fixture
def filled(trial: Trial) -> Trial:
    """`in` with the same number of records in both partitions, and an empty `out`."""
    trial.make_topic("in", 2)
    trial.make_topic("out", 1)
    keys = {partition_of(key, 2): key for key in ("VCB", "FPT", "HPG", "SSI")}
    values = {p: [b"%d/%d" % (p, i) for i in range(COUNT)] for p in (0, 1)}
    trial.publish("in", [(keys[p], value) for p in (0, 1) for value in values[p]])
    return trial


def test_a_consumer_killed_between_produce_and_commit_leaves_no_duplicate(filled: Trial) -> None:
    assert finish(echo(filled, signal.SIGKILL))[0] == -signal.SIGKILL
    status, errors = finish(echo(filled))
    assert status == 0, errors
    assert eventually(lambda: Counter(record.value for record in filled.records("out")) == EVERYTHING)
    assert eventually(lambda: committed(filled) == {0: COUNT, 1: COUNT})
    with closing(
        AssignedConsumer(filled.settings.kafka, filled.topic("out"), [0], None, "test", read_committed=False)
    ) as everything:
        seen: Counter[bytes | None] = Counter()
        while everything.positions[0] < everything.end_offsets()[0] - 1:
            seen.update(record.value for record in everything.poll_records(200))
    assert max(seen.values()) == 2, "the killed one had produced what is there twice, but uncommitted"


def test_a_zombie_is_fenced_and_says_so(filled: Trial) -> None:
    zombie = echo(filled, signal.SIGSTOP)
    try:
        stopped = psutil.Process(zombie.pid)
        assert eventually(lambda: stopped.status() == psutil.STATUS_STOPPED, COMMAND_TIMEOUT_S)
        status, errors = finish(echo(filled))
        assert status == 0, errors
        stopped.send_signal(signal.SIGCONT)
        status, errors = finish(zombie)
    finally:
        zombie.kill()
        zombie.wait()
    assert status == 1
    assert "PartitionTaken" in errors.splitlines()[-1]
    assert "was claimed by another consumer" in errors.splitlines()[-1]
    assert eventually(lambda: Counter(record.value for record in filled.records("out")) == EVERYTHING)
    assert eventually(lambda: committed(filled) == {0: COUNT, 1: COUNT})
