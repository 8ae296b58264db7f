"""Dead letters are sent back once each, whatever dies in between, and never for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from tests.integration.trial import COMMAND_TIMEOUT_S, ROOT, Trial
from vnpulse.batches import PartitionBatch
from vnpulse.decoding import Rejection
from vnpulse.kafka.dead_letter_topics import MAX_REDRIVES, REDRIVEN, DeadLetterTopic
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.topics import PRICES, dead_letter_topic

LETTERS = 1_200
"""Three transactions' worth."""


def bury(trial: Trial, records: list[tuple[bytes | None, bytes | None]], *, redriven: bytes = b"") -> None:
    """Make dead letters as a pipeline does, of records that may have been redriven before."""
    n = len(records)
    offsets = np.arange(n, dtype=np.int64)
    headers = {row: {"trace": b"t", REDRIVEN: redriven} for row in range(n)} if redriven else {}
    batch = PartitionBatch(
        trial.topic(PRICES),
        1,
        0,
        n,
        [v for _, v in records],
        [k for k, _ in records],
        offsets,
        offsets,
        headers,
    )
    reasons = [Rejection(row, "not-json", "no JSON") for row in range(n)]
    DeadLetters(PlainOutputs(trial.producer()), "test").send(batch, reasons)
    trial.producer().flush()


@pytest.fixture
def buried(trial: Trial) -> Trial:
    trial.make_topic(PRICES, 2)
    trial.make_topic(dead_letter_topic(PRICES), 2, max_message_bytes=4_194_304)
    return trial


def open_topic(trial: Trial) -> DeadLetterTopic:
    return DeadLetterTopic(trial.settings.kafka, trial.topic(dead_letter_topic(PRICES)))


def redrive(trial: Trial) -> int:
    """Redrive all that can be, as the command does; return how many that were."""
    with open_topic(trial) as letters:
        letters.claim()
        good = [letter for letter in letters.read().open if letters.refusal(letter) is None]
        letters.redrive(good)
        return len(good)


def test_a_redriven_record_has_its_key_and_a_count_and_is_not_redriven_again(buried: Trial) -> None:
    bury(buried, [(b"VCB", b"a"), (None, b"b"), (b"FPT", None)])
    assert redrive(buried) == 3
    assert redrive(buried) == 0
    sent = buried.records(PRICES)
    assert sorted((r.key or b"", r.value or b"") for r in sent) == [
        (b"", b"b"),
        (b"FPT", b""),
        (b"VCB", b"a"),
    ]
    assert [r.headers for r in sent] == [{REDRIVEN: "1"}] * 3
    with open_topic(buried) as letters:
        held = letters.read()
    assert (len(held.all), held.open) == (3, [])


def test_a_record_that_fails_again_is_counted_and_refused_in_the_end(buried: Trial) -> None:
    bury(buried, [(b"VCB", b"a")], redriven=str(MAX_REDRIVES - 1).encode())
    assert redrive(buried) == 1
    (again,) = buried.records(PRICES)
    assert again.headers == {"trace": "t", REDRIVEN: str(MAX_REDRIVES)}
    bury(buried, [(b"VCB", b"a")], redriven=again.headers[REDRIVEN].encode())
    assert redrive(buried) == 0
    with open_topic(buried) as letters:
        (refused,) = letters.read().open
        assert letters.refusal(refused) == f"it was redriven {MAX_REDRIVES} times and failed again"


DIES = """
import os, signal, sys
from pathlib import Path
from kafka import KafkaProducer
from vnpulse.cli.dead_letters import app
original, calls = KafkaProducer.commit_transaction, []
def commit(self):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    original(self)
KafkaProducer.commit_transaction = commit
app(["redrive", "stock_prices_raw", "--config", sys.argv[1]])
"""


def test_a_redrive_that_is_killed_loses_nothing_and_the_next_one_doubles_nothing(buried: Trial) -> None:
    bury(buried, [(b"VCB", b"%d" % i) for i in range(LETTERS)])
    command = [sys.executable, "-c", DIES, str(buried.config)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert redrive(buried) == LETTERS - 500
    assert Counter(r.value for r in buried.records(PRICES)) == Counter(b"%d" % i for i in range(LETTERS))


def test_what_is_older_is_purged_and_purging_again_changes_nothing(buried: Trial) -> None:
    bury(buried, [(b"VCB", b"old"), (b"FPT", b"old")])
    with open_topic(buried) as letters:
        border = max(letter.timestamp for letter in letters.read().all) + 1
        while max(letter.timestamp for letter in letters.read().all) < border:
            bury(buried, [(b"VCB", b"new"), (b"FPT", b"new")])
        letters.purge(letters.purge_to(border))
        left = letters.read().all
        assert {letter.value for letter in left} == {b"new"}
        again = letters.purge_to(border)
        letters.purge(again)
        assert letters.read().all == left
        letters.purge(letters.purge_to(None))
        assert letters.read().all == []
        assert letters.purge_to(None) == {}


def test_the_commands_filter_say_what_they_would_do_and_do_it(buried: Trial) -> None:
    bury(buried, [(b"VCB", b"a"), (b"FPT", b"b")])
    listed = buried.vnpulse("dlq", "list", PRICES, "--symbol", "FPT", "--error", "not-json", "--json")
    assert listed.returncode == 0, listed.stderr
    assert '"original-offset": "1"' in listed.stdout
    assert '"original-offset": "0"' not in listed.stdout
    would = buried.vnpulse("dlq", "redrive", PRICES, "--symbol", "FPT", "--dry-run")
    assert (would.returncode, would.stdout) == (0, f"would redrive 1 to {buried.topic(PRICES)}\n")
    assert buried.records(PRICES) == []
    done = buried.vnpulse("dlq", "redrive", PRICES, "--symbol", "FPT")
    assert (done.returncode, done.stdout) == (0, f"redrove 1 to {buried.topic(PRICES)}\n")
    assert [(r.key, r.value) for r in buried.records(PRICES)] == [(b"FPT", b"b")]
    unsaid = buried.vnpulse("dlq", "purge", PRICES)
    assert (unsaid.returncode, unsaid.stdout) == (2, "")
    assert "--before TIME or --all" in unsaid.stderr
    purged = buried.vnpulse("dlq", "purge", PRICES, "--all")
    assert (purged.returncode, purged.stdout) == (0, f"deleted 2 from {buried.topic(PRICES)}_dlq\n")
