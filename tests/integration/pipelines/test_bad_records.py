"""A bad record is kept with its reason, and costs no good record around it."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import msgspec

from tests.integration.market import article, bar, keyed
from tests.integration.pipelines.outcome import as_stored, await_results, distinct_ids, stored
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.messages import VIETNAM, encode
from vnpulse.topics import ALERTS, NEWS, PRICES, RESULTS, TRIGGERS


def price(**changes: Any) -> bytes:
    """Return a bar in the specification's form with some fields changed; ... takes a field away."""
    record: dict[str, Any] = {
        "symbol": "GOOD",
        "time": "2025-07-28T09:15:00+07:00",
        "open": 85.5,
        "high": 86.2,
        "low": 85.0,
        "close": 86.0,
        "volume": 1_250_000,
        "collected_at": "2025-07-28T09:16:30.123456",
    } | changes
    return msgspec.json.encode({key: value for key, value in record.items() if value is not ...})


TOMORROW = (dt.datetime.now(VIETNAM) + dt.timedelta(days=1)).isoformat()

BAD_PRICES: dict[str, tuple[bytes | None, str]] = {
    "cut off": (b'{"symbol": "GOOD", "ti', "not-json"),
    "empty": (b"", "not-json"),
    "not UTF-8": (b'{"symbol": "\xff\xfe"}', "not-json"),
    "deeply nested": (price(deep="?").replace(b'"?"', b"[" * 100_000), "not-json"),
    "NaN": (price(close="?").replace(b'"?"', b"NaN"), "not-json"),
    "a list": (b"[1, 2, 3]", "wrong-type"),
    "a price as text": (price(close="86.0"), "wrong-type"),
    "an unknown interval": (price(interval="3m"), "wrong-type"),
    "no close": (price(close=...), "missing-field"),
    "a time without a zone": (price(time="2025-07-28T09:15:00"), "wrong-type"),
    "infinite": (price(high=-1).replace(b"-1", b"1e400"), ""),
    "a negative price": (price(low=-85.0), "bad-price"),
    "a price of zero": (price(open=0), "bad-price"),
    "high below low": (price(high=84.0), "high-too-low"),
    "low above close": (price(low=86.1), "low-too-high"),
    "a negative volume": (price(volume=-1), "bad-volume"),
    "half a share": (price(volume=0.5), "bad-volume"),
    "tomorrow": (price(time=TOMORROW), "time-in-future"),
    "before there was an exchange": (price(time="1999-01-04T09:15:00+07:00"), "time-too-old"),
    "lower case": (price(symbol="vcb"), "bad-symbol"),
    "no symbol": (price(symbol=""), "bad-symbol"),
    "a megabyte of noise": (random.Random(1).randbytes(1_000_000), "not-json"),
    "a megabyte of symbol": (price(symbol="A" * 1_000_000), "bad-symbol"),
    "null": (None, "null-value"),
}
"""What is wrong with it: the record, and the reason given ("" where several would do)."""


def test_bad_prices_are_dead_letters_and_the_good_ones_among_them_are_analysed(running: Trial) -> None:
    bars = [bar("GOOD", i) for i in range(len(BAD_PRICES) + 1)]
    mixed: list[tuple[str | None, bytes | None]] = [("GOOD", encode(bars[0]))]
    for good, (bad, _) in zip(bars[1:], BAD_PRICES.values(), strict=True):
        mixed += [("GOOD", bad), ("GOOD", encode(good))]
    places = running.publish(PRICES, mixed)
    await_results(running, bars)
    assert stored(running, "GOOD") == as_stored(bars)
    assert all(len(ids) == 1 for ids in distinct_ids(running, "GOOD").values())

    letters = {
        (int(letter.headers["original-partition"]), int(letter.headers["original-offset"])): letter
        for letter in running.dead_letters(PRICES)
        if letter.key == b"GOOD"
    }
    assert letters.keys() == set(places[1::2])
    for place, (name, (value, reason)) in zip(places[1::2], BAD_PRICES.items(), strict=True):
        letter = letters[place]
        assert letter.headers["original-topic"] == running.topic(PRICES), name
        assert reason in ("", letter.headers["reason"]), name
        assert letter.headers["message"], name
        assert letter.value == value, name
    assert running.lag() == 0 or running.drained()


def test_bad_records_of_every_other_topic_are_dead_letters_of_that_topic(running: Trial) -> None:
    good = article("bad-among", "GOODN", "GOODN lãi kỷ lục")
    late = {"published_at": "2025-07-28T09:15:00"}
    bad = {
        NEWS: [
            b"noise",
            b"{}",
            encode(good).replace(b"published_at", b"published"),
            None,
            msgspec.json.encode(msgspec.to_builtins(good) | late),
        ],
        TRIGGERS: [b"noise", b'{"trigger_id": "x"}', None, b'{"symbol": 5}'],
        RESULTS: [b"noise", b"[]", None],
        ALERTS: [b"noise", b"{}", None],
    }
    places = {
        topic: running.publish(topic, [("GOODN", value) for value in values]) for topic, values in bad.items()
    }
    running.publish(NEWS, keyed([good]))
    for topic, expected in places.items():

        def origins(topic: str = topic) -> set[tuple[int, int]]:
            return {
                (int(letter.headers["original-partition"]), int(letter.headers["original-offset"]))
                for letter in running.dead_letters(topic)
                if letter.key == b"GOODN"
            }

        assert eventually(lambda origins=origins, expected=expected: origins() >= set(expected)), topic
        assert origins() == set(expected), topic
    assert eventually(lambda: running.results("GOODN", "sentiment"))
