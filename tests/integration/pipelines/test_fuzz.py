"""A hundred thousand records that nobody meant to send, through the real broker and the real store."""

from __future__ import annotations

import datetime as dt
import json
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.market import article, bar
from tests.integration.pipelines.outcome import as_stored, stored
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.clock import SystemClock
from vnpulse.kafka.consumer import AssignedConsumer
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.kafka.outputs import PlainOutputs
from vnpulse.kafka.producer import StockKafkaProducer
from vnpulse.messages import NewsItem, PriceBar, encode
from vnpulse.store.bars import BarStore
from vnpulse.store.news import NewsStore
from vnpulse.streaming.loop import Handler, PartitionLoop
from vnpulse.streaming.storage import NewsHandler, PriceHandler
from vnpulse.topics import NEWS, PRICES, TRIGGERS, dead_letter_topic, load_topics

MALFORMED = {PRICES: 80_000, NEWS: 20_000}
SPARE = 1.07
"""Some mutants are valid after all: a number for a number, a text for a text."""

GOOD_EVERY = 40
PARTITIONS = 4
RECORDS_PER_POLL = 5_000

Values = list[bytes | None]

JUNK: list[Any] = [
    None, True, False, "", "86.0", "NaN", " ", "\x00", "𝔙𝔑", "x" * 5_000, [], {}, [1], {"a": 1}, 0, -1, 0.5,
    -0.0, 1e308, -1e308, 5e-324, 2**63, -(2**63), 10**40, "2025-13-45T99:99:99+07:00", "2025-07-28",
    "2025-07-28T09:15:00", "9999-12-31T23:59:59+07:00", "0001-01-01T00:00:00+14:00", "vcb", "VCB\n", "A" * 13,
]  # fmt: skip
"""What a field may hold instead of what it should."""

RAW = (
    b"", b"\x00", b"\xff\xfe", b"null", b"NaN", b"Infinity", b"{", b"}", b"[[[[", b'"', b"{}", b"[]", b"0",
    b"1e999", b"\xef\xbb\xbf{}", b"\x00\x00\x00\x00\x01", b"PK\x03\x04", b"\x1f\x8b\x08", b"SELECT 1",
    b"[" * 5_000,
    b'{"a":' * 2_000,
)  # fmt: skip
"""Beginnings of other formats, and what breaks parsers."""


def mutants(template: dict[str, Any], n: int, chance: random.Random) -> Iterator[bytes | None]:
    """Yield ``n`` records that are ``template`` with something wrong, or nothing like it at all."""
    good = json.dumps(template).encode()
    names = list(template)

    def shuffled() -> list[Any]:
        return chance.sample(list(template.values()), len(names))

    kinds: list[Callable[[], bytes | None]] = [
        lambda: None,
        lambda: chance.choice(RAW) + chance.randbytes(chance.randrange(8)),
        lambda: chance.randbytes(chance.randrange(1, 300)),
        lambda: good[: chance.randrange(len(good))],
        lambda: good[chance.randrange(1, len(good)) :],
        lambda: _spliced(good, chance),
        lambda: good + chance.choice((b",", b"}", b"x", good)),
        lambda: json.dumps({k: v for k, v in template.items() if k != chance.choice(names)}).encode(),
        lambda: json.dumps(template | {chance.choice(names): chance.choice(JUNK)}).encode(),
        lambda: json.dumps(
            template | {name: chance.choice(JUNK) for name in chance.sample(names, 3)}
        ).encode(),
        lambda: json.dumps(
            dict(zip(names, chance.sample(list(template.values()), len(names)), strict=True))
        ).encode(),
        lambda: json.dumps([template]).encode(),
        lambda: json.dumps(good.decode()).encode(),
        lambda: good.decode().encode(chance.choice(("utf-16", "utf-32"))),
        lambda: good.replace(b'"', b"'"),
    ]
    for i in range(n):
        yield kinds[i % len(kinds)]()


def _spliced(good: bytes, chance: random.Random) -> bytes:
    """Return ``good`` with some bytes replaced."""
    spliced = bytearray(good)
    for _ in range(chance.randrange(1, 6)):
        spliced[chance.randrange(len(spliced))] = chance.randrange(256)
    return bytes(spliced)


def shapes(names: Sequence[str]) -> Values:
    """Return what hypothesis thinks of: any JSON, and objects with the right names and any values."""
    found: Values = []
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=8,
    )
    right_names = st.fixed_dictionaries({}, optional=dict.fromkeys(names, anything))

    @settings(
        max_examples=200,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(anything | right_names, st.binary(max_size=40))
    def collect(value: Any, noise: bytes) -> None:
        found.extend((json.dumps(value).encode("utf-8", "surrogatepass"), noise))

    collect()
    return found


class Accepting:
    """Analyzers that take everything."""

    def update(self, batches: Sequence[Any]) -> list[int]:
        return [batch.next_offset for batch in batches]


def price_handler(trial: Trial, outputs: PlainOutputs) -> Handler:
    store = BarStore(trial.database())
    store.ensure_indexes()
    return PriceHandler(
        store=store,
        technical=Accepting(),
        outputs=outputs,
        dead_letters=DeadLetters(outputs, "fuzz"),
        trigger_topic=trial.topic(TRIGGERS),
        clock=SystemClock(),
        analysed_intervals=("1m",),
    )


def news_handler(trial: Trial, outputs: PlainOutputs) -> Handler:
    store = NewsStore(trial.database())
    store.ensure_indexes()
    return NewsHandler(
        store=store,
        sentiment=Accepting(),
        outputs=outputs,
        dead_letters=DeadLetters(outputs, "fuzz"),
        trigger_topic=trial.topic(TRIGGERS),
        clock=SystemClock(),
        symbols_of=lambda item: (item.symbol,) if item.symbol else (),
    )


def run_through(trial: Trial, topic: str, handler: Handler, outputs: PlainOutputs) -> None:
    """Consume ``topic`` to its end as a storage actor does."""
    kafka = trial.settings.kafka
    tuned = kafka.model_copy(
        update={"consumer": kafka.consumer.model_copy(update={"max_poll_records": RECORDS_PER_POLL})}
    )
    loop = PartitionLoop(
        lambda: AssignedConsumer(tuned, trial.topic(topic), range(PARTITIONS), "fuzz", "fuzz"),
        handler,
        outputs,
    )
    errors: list[BaseException] = []

    def run() -> None:
        try:
            loop.run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    reader = AssignedConsumer(kafka, trial.topic(topic), range(PARTITIONS), None, "fuzz-ends")
    ends = reader.end_offsets()
    reader.close()
    thread.start()
    try:
        assert eventually(lambda: errors or loop.health().positions == ends, 200)
    finally:
        loop.stop()
        thread.join()
    assert errors == []
    assert loop.health().last_error == "", "no record may cost the loop more than its own rejection"


def dead_letters(trial: Trial, topic: str) -> dict[tuple[int, int], dict[str, str]]:
    """Return the headers of the dead letters by origin, each of which is there once."""
    letters = trial.dead_letters(topic)
    by_origin = {
        (int(letter.headers["original-partition"]), int(letter.headers["original-offset"])): letter.headers
        for letter in letters
    }
    assert len(by_origin) == len(letters)
    return by_origin


def _text(value: bytes | None) -> str:
    """Return ``value`` as text. What is in fields that nobody knows is not looked at, not even for UTF-8."""
    return (value or b"").decode("utf-8", "replace")


def is_a_bar(value: bytes | None) -> bool:
    """Say whether ``value`` is a bar, by other means than the code that is tested."""
    record = json.loads(_text(value))
    prices = [record[name] for name in ("open", "high", "low", "close")]
    return (
        re.fullmatch("[A-Z][A-Z0-9]{1,11}", record["symbol"]) is not None
        and all(type(price) in (int, float) and math.isfinite(price) and price > 0 for price in prices)
        and record["high"] == max(prices)
        and record["low"] == min(prices)
        and record["volume"] >= 0
        and record["volume"] == int(record["volume"])
        and dt.datetime.fromisoformat(record["time"]).tzinfo is not None
    )


def is_an_article(value: bytes | None) -> bool:
    record = json.loads(_text(value))
    texts = [record[name] for name in ("news_id", "title", "content", "source", "source_url")]
    return all(isinstance(text, str) for text in texts) and "published_at" in record


CASES: dict[str, tuple[Callable[[Trial, PlainOutputs], Handler], Callable[[bytes | None], bool]]] = {
    PRICES: (price_handler, is_a_bar),
    NEWS: (news_handler, is_an_article),
}


@pytest.mark.parametrize("topic", CASES)
def test_every_malformed_record_is_a_dead_letter_with_a_reason_and_every_good_one_arrives(
    trial: Trial, topic: str
) -> None:
    make_handler, is_one = CASES[topic]
    for name in (topic, dead_letter_topic(topic), TRIGGERS):
        trial.make_topic(name, PARTITIONS, max_message_bytes=load_topics()[name].max_message_bytes)
    n = round(MALFORMED[topic] * SPARE)
    good: list[PriceBar | NewsItem] = (
        [bar(f"FZ{i % 8}", i // 8) for i in range(n // GOOD_EVERY)]
        if topic == PRICES
        else [article(f"good-{i}", "FZN", "FZN lãi kỷ lục") for i in range(n // GOOD_EVERY)]
    )
    template = json.loads(encode(bar("BAD", 1) if topic == PRICES else article("bad", "BAD", "BAD lãi")))
    chance = random.Random(20_250_728)
    bad: Values = shapes(list(template))
    bad += mutants(template, n - len(bad), chance)
    chance.shuffle(bad)
    mixed: Values = []
    for i, value in enumerate(bad):
        if i % GOOD_EVERY == 0:
            mixed.append(encode(good[i // GOOD_EVERY]))
        mixed.append(value)

    sent: dict[tuple[int, int], bytes | None] = {}
    producer = StockKafkaProducer(trial.settings.kafka, load_topics(), "fuzz")
    for i, value in enumerate(mixed):
        producer.send(
            trial.topic(topic),
            b"%d" % (i % 97),
            value,
            on_append=lambda p, o, _, value=value: sent.__setitem__((p, o), value),
        )
    producer.flush()
    assert eventually(lambda: len(sent) == len(mixed))

    outputs = PlainOutputs(producer)
    handler = make_handler(trial, outputs)
    run_through(trial, topic, handler, outputs)

    letters = dead_letters(trial, topic)
    assert letters.keys() <= sent.keys()
    assert all(headers["reason"] and headers["message"] for headers in letters.values())
    assert all(headers["original-topic"] == trial.topic(topic) for headers in letters.values())
    reasons = Counter(headers["reason"] for headers in letters.values())
    assert {"null-value", "not-json", "missing-field", "wrong-type"} <= reasons.keys()
    assert "processing-error" not in reasons
    accepted = [value for place, value in sent.items() if place not in letters]
    assert len(letters) >= MALFORMED[topic]
    assert [value for value in accepted if not is_one(value)] == []
    assert {encode(message) for message in good} <= set(accepted)
    if topic == PRICES:
        for symbol in {message.symbol for message in good}:
            assert stored(trial, str(symbol)) == as_stored(m for m in good if m.symbol == symbol)
    else:
        assert {m.news_id for m in good if isinstance(m, NewsItem)} <= NewsStore(trial.database()).ids_since(
            0
        )
