from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from vnpulse.analysis import LONGEST_REPLAY
from vnpulse.clock import ManualClock
from vnpulse.decoding import Rejection
from vnpulse.errors import BrokerUnavailable, StoreUnavailable
from vnpulse.kafka.dead_letters import DeadLetters
from vnpulse.messages import VIETNAM, AnalysisTrigger, NewsItem, OffsetRange, PriceBar, encode
from vnpulse.streaming import untaken
from vnpulse.streaming.storage import NewsHandler, PriceHandler

PRICES, NEWS, TRIGGERS = "stock_prices_raw", "stock_news_raw", "analysis_triggers"
OPENING = dt.datetime(2025, 7, 28, 9, 15, tzinfo=VIETNAM)
NOW_MS = int((OPENING + dt.timedelta(hours=4)).timestamp() * 1000)


def bar(symbol: str, minute: int = 0, interval: str = "1m", close: float = 25.0) -> bytes:
    time = OPENING + dt.timedelta(minutes=minute)
    collected = time + dt.timedelta(minutes=1)
    return encode(PriceBar(symbol, time, close, close, close, close, 100, collected, interval))  # type: ignore[arg-type]


def article(news_id: str, symbol: str | None = None, minute: int = 0) -> bytes:
    time = OPENING + dt.timedelta(minutes=minute)
    return encode(NewsItem(news_id, symbol, "tin", "", "nguon", "https://x", time, time))


@pytest.fixture
def prices(store: Any, pool: Any, outputs: Any) -> PriceHandler:
    return PriceHandler(
        store=store,
        technical=pool,
        outputs=outputs,
        dead_letters=DeadLetters(outputs, "test"),
        trigger_topic=TRIGGERS,
        clock=ManualClock(NOW_MS),
        analysed_intervals=("1m",),
    )


@pytest.fixture
def news(store: Any, pool: Any, outputs: Any) -> NewsHandler:
    return NewsHandler(
        store=store,
        sentiment=pool,
        outputs=outputs,
        dead_letters=DeadLetters(outputs, "test"),
        trigger_topic=TRIGGERS,
        clock=ManualClock(NOW_MS),
        symbols_of=lambda item: (item.symbol,) if item.symbol else ("FPT", "VNINDEX"),
    )


def triggers(outputs: Any) -> list[AnalysisTrigger]:
    return [msgspec.json.decode(sent.value, type=AnalysisTrigger) for sent in outputs.to(TRIGGERS)]


def test_bars_are_stored_then_analysed_then_announced(
    prices: PriceHandler, journal: Any, records: Any
) -> None:
    assert prices.handle([records([bar("VCB")], PRICES)]) == {0: 1}
    assert journal.events == ["store", "analyzers", f"send {TRIGGERS}"]


def test_one_trigger_a_symbol_names_its_stretch_of_the_log(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:
    values = [bar("VCB", 0), bar("FPT", 0), bar("VCB", 1), bar("HPG", 0), bar("VCB", 2), bar("FPT", 1)]
    prices.handle([records(values, PRICES, partition=3, start=100)])
    by_symbol = {trigger.symbol: trigger for trigger in triggers(outputs)}
    assert len(triggers(outputs)) == 3
    assert {symbol: trigger.metadata.sources for symbol, trigger in by_symbol.items()} == {
        "VCB": [OffsetRange(PRICES, 3, 100, 104)],
        "FPT": [OffsetRange(PRICES, 3, 101, 105)],
        "HPG": [OffsetRange(PRICES, 3, 103, 103)],
    }
    assert {symbol: trigger.metadata.data_count for symbol, trigger in by_symbol.items()} == {
        "VCB": 3,
        "FPT": 2,
        "HPG": 1,
    }
    assert all(trigger.trigger_type == "price_update" for trigger in by_symbol.values())
    assert by_symbol["VCB"].timestamp == OPENING + dt.timedelta(minutes=3)


def test_triggers_are_keyed_by_symbol(prices: PriceHandler, outputs: Any, records: Any) -> None:
    prices.handle([records([bar("VCB"), bar("FPT")], PRICES)])
    assert sorted(sent.key for sent in outputs.to(TRIGGERS)) == ["FPT", "VCB"]


def test_a_symbol_in_two_partitions_is_announced_for_each(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:
    prices.handle([records([bar("VCB")], PRICES, 1, 5), records([bar("VCB", 1)], PRICES, 2, 8)])
    assert [trigger.metadata.sources for trigger in triggers(outputs)] == [
        [OffsetRange(PRICES, 1, 5, 5)],
        [OffsetRange(PRICES, 2, 8, 8)],
    ]


def test_the_same_batch_again_gives_triggers_with_the_same_ids(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:
    batch = records([bar("VCB"), bar("FPT")], PRICES, start=7)
    prices.handle([batch])
    prices.handle([batch])
    ids = [trigger.trigger_id for trigger in triggers(outputs)]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


def test_intervals_that_are_not_analysed_are_stored_and_cause_no_trigger(
    prices: PriceHandler, outputs: Any, store: Any, pool: Any, records: Any
) -> None:
    values = [bar("VCB", interval="1d"), bar("FPT", interval="5m")]
    assert prices.handle([records(values, PRICES)]) == {0: 2}
    assert triggers(outputs) == []
    assert [len(batch) for batch in store.written] == [2]
    assert [len(batch) for batch in pool.batches] == [2]


def test_a_daily_bar_between_does_not_count_for_the_trigger_of_its_symbol(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:
    prices.handle([records([bar("VCB"), bar("VCB", interval="1d")], PRICES)])
    [trigger] = triggers(outputs)
    assert trigger.metadata.sources == [OffsetRange(PRICES, 0, 0, 0)]
    assert trigger.metadata.data_count == 1


def test_a_gap_answers_with_the_earlier_offset_and_announces_nothing(
    prices: PriceHandler, pool: Any, outputs: Any, records: Any
) -> None:
    pool.expected = lambda batch: 40 if batch.partition == 1 else batch.next_offset
    reached = prices.handle(
        [records([bar("VCB")], PRICES, 0, 10), records([bar("FPT"), bar("FPT", 1)], PRICES, 1, 50)]
    )
    assert reached == {0: 11, 1: 40}
    assert [trigger.symbol for trigger in triggers(outputs)] == ["VCB"]


def test_an_analyzer_that_is_ahead_holds_nothing_up(prices: PriceHandler, pool: Any, records: Any) -> None:
    pool.expected = lambda batch: 1_000
    assert prices.handle([records([bar("VCB")], PRICES, 0, 10)]) == {0: 11}


def test_bad_records_are_dead_lettered_with_the_reason_and_good_ones_go_on(
    prices: PriceHandler, outputs: Any, store: Any, records: Any
) -> None:
    values = [bar("VCB"), b"{", bar("FPT"), None, bar("vcb"), bar("HPG")]
    assert prices.handle([records(values, PRICES, 2, 30)]) == {2: 36}
    letters = outputs.to(f"{PRICES}_dlq")
    assert [(sent.headers["original-offset"], sent.headers["reason"], sent.value) for sent in letters] == [
        ("31", "not-json", b"{"),
        ("33", "null-value", None),
        ("34", "bad-symbol", bar("vcb")),
    ]
    assert [sent.key for sent in letters] == [b"key1", b"key3", b"key4"]
    assert {sent.headers["original-partition"] for sent in letters} == {"2"}
    [stored] = store.written
    assert stored.offsets.tolist() == [30, 32, 35]
    assert (stored.start_offset, stored.next_offset) == (30, 36)


def test_a_batch_of_nothing_but_bad_records_is_passed(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:
    assert prices.handle([records([b"", b"[]"], PRICES)]) == {0: 2}
    assert len(outputs.to(f"{PRICES}_dlq")) == 2
    assert triggers(outputs) == []


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        ("store", StoreUnavailable("away")),
        (f"send {TRIGGERS}", BrokerUnavailable("away")),
    ],
)
def test_a_failing_part_fails_the_batch_and_the_next_attempt_completes_it(
    prices: PriceHandler, journal: Any, outputs: Any, records: Any, effect: str, error: Exception
) -> None:
    journal.errors[effect] = [error]
    batch = records([bar("VCB")], PRICES)
    with pytest.raises(type(error)):
        prices.handle([batch])
    assert outputs.sent == []
    assert prices.handle([batch]) == {0: 1}
    assert {trigger.symbol for trigger in triggers(outputs)} == {"VCB"}


def test_nothing_is_announced_when_the_store_fails(
    prices: PriceHandler, journal: Any, outputs: Any, records: Any
) -> None:
    journal.errors = {"store": [StoreUnavailable("away")]}
    with pytest.raises(StoreUnavailable):
        prices.handle([records([bar("VCB")], PRICES)])
    assert outputs.sent == []


def test_analyzers_that_take_nothing_hold_nothing_up_and_are_asked_later_where_they_are(
    prices: PriceHandler, pool: Any, store: Any, outputs: Any, records: Any
) -> None:
    pool.expected = lambda batch: None if batch.partition == 1 else batch.next_offset
    first = [records([bar("VCB")], PRICES, 0, 10), records([bar("FPT")], PRICES, 1, 50)]
    assert prices.handle(first) == {0: 11, 1: 51}
    assert prices.handle([records([bar("FPT", 1)], PRICES, 1, 51)]) == {1: 52}
    assert sum(map(len, store.written)) == 3
    assert [trigger.symbol for trigger in triggers(outputs)] == ["VCB", "FPT", "FPT"]
    assert prices.counts["not_taken"] == 2
    # They are back, and have seen nothing of it.
    pool.expected = lambda batch: batch.next_offset
    assert prices.handle([records([bar("FPT", 2)], PRICES, 1, 52)]) == {1: 53}
    assert prices.handle([records([bar("FPT", 3)], PRICES, 1, 53)]) == {1: 54}
    assert [(b.start_offset, b.next_offset) for b in pool.batches if b.partition == 1] == [
        (50, 51),
        (50, 50),
        (50, 50),
        (50, 51),
        (51, 52),
        (52, 53),
        (53, 54),
    ]
    assert sum(map(len, store.written)) == 5


def test_analyzers_get_only_what_they_have_not_taken_in_the_end(
    prices: PriceHandler, pool: Any, records: Any
) -> None:
    pool.expected = lambda batch: None
    for offset in (50, 51, 52, 51):  # One of them twice, after a failure.
        prices.handle([records([bar("FPT", offset)], PRICES, 1, offset)])
    # The first one was taken late. So is this one, and then all is well.
    pool.expected = lambda batch: None if len(batch) else 51
    prices.handle([records([bar("FPT", 53)], PRICES, 1, 53)])
    pool.expected = lambda batch: batch.next_offset if len(batch) else 53
    pool.batches.clear()
    assert prices.handle([records([bar("FPT", 54)], PRICES, 1, 54)]) == {1: 55}
    assert [(b.start_offset, b.next_offset) for b in pool.batches] == [(51, 51), (53, 54), (54, 55)]


def test_of_more_than_is_kept_all_is_read_again(
    prices: PriceHandler, pool: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untaken, "LONGEST_REPLAY", 3)
    pool.expected = lambda batch: None
    for offset in range(50, 54):
        prices.handle([records([bar("FPT", offset)], PRICES, 1, offset)])
    pool.expected = lambda batch: batch.next_offset if len(batch) else 52
    assert prices.handle([records([bar("FPT", 54)], PRICES, 1, 54)]) == {1: 52}


def test_analyzers_that_have_loaded_what_they_did_not_take_go_on_from_there(
    prices: PriceHandler, pool: Any, records: Any
) -> None:
    pool.expected = lambda batch: None
    prices.handle([records([bar("FPT")], PRICES, 1, 50)])
    pool.expected = lambda batch: max(51, batch.next_offset)
    assert prices.handle([records([bar("FPT", 1)], PRICES, 1, 51)]) == {1: 52}
    assert [len(batch) for batch in pool.batches] == [1, 0, 1]


def test_who_lacks_very_much_gets_what_comes_and_loads_the_rest(
    prices: PriceHandler, pool: Any, outputs: Any, records: Any
) -> None:
    pool.expected = lambda batch: None
    prices.handle([records([bar("FPT")], PRICES, 1, 50)])
    pool.expected = lambda batch: batch.next_offset if len(batch) else 50
    last = 50 + LONGEST_REPLAY
    assert prices.handle([records([bar("FPT", 1)], PRICES, 1, last + 1)]) == {1: last + 2}
    pool.expected = lambda batch: None
    prices.handle([records([bar("FPT", 2)], PRICES, 1, last + 2)])
    pool.expected = lambda batch: 100
    assert prices.handle([records([bar("FPT", 3)], PRICES, 1, last + 3)]) == {1: 100}
    assert len(triggers(outputs)) == 3


def test_what_comes_again_after_it_was_settled_is_not_announced_again(
    prices: PriceHandler, pool: Any, outputs: Any, records: Any
) -> None:
    values = [bar("VCB"), b"{", bar("FPT"), bar("VCB", 1), b"["]
    prices.handle([records(values[:3], PRICES, 2, 30)])
    prices.settled(2, 33)
    pool.expected = lambda batch: 30
    assert prices.handle([records(values[3:], PRICES, 2, 33)]) == {2: 30}
    pool.expected = lambda batch: batch.next_offset
    assert prices.handle([records(values, PRICES, 2, 30)]) == {2: 35}
    assert [t.metadata.sources for t in triggers(outputs)] == [
        [OffsetRange(PRICES, 2, 30, 30)],
        [OffsetRange(PRICES, 2, 32, 32)],
        [OffsetRange(PRICES, 2, 33, 33)],
    ]
    assert [sent.headers["original-offset"] for sent in outputs.to(f"{PRICES}_dlq")] == ["31", "34"]


def test_an_outage_of_the_store_does_not_multiply_dead_letters(
    prices: PriceHandler, journal: Any, outputs: Any, records: Any
) -> None:
    journal.errors["store"] = [StoreUnavailable("away")] * 3
    batch = records([bar("VCB"), b"{"], PRICES)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            prices.handle([batch])
    prices.handle([batch])
    assert len(outputs.to(f"{PRICES}_dlq")) == 1


def test_a_rejected_row_is_dead_lettered_with_its_attempts(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:

    prices.reject(records([b"a", b"b"], PRICES, 1, 5), [Rejection(1, "processing-error", "KeyError: x")], 3)
    [letter] = outputs.to(f"{PRICES}_dlq")
    assert (letter.value, letter.headers["original-offset"], letter.headers["attempts"]) == (b"b", "6", "3")
    assert letter.headers["message"] == "KeyError: x"
    assert letter.headers["component"] == "test"


def test_articles_follow_the_same_order(news: NewsHandler, journal: Any, records: Any) -> None:
    assert news.handle([records([article("a", "VCB")], NEWS)]) == {0: 1}
    assert journal.events == ["store", "analyzers", f"send {TRIGGERS}"]


def test_an_article_about_several_symbols_triggers_each_with_its_own_stretch(
    news: NewsHandler, outputs: Any, records: Any
) -> None:
    values = [article("a", "VCB", 0), article("b", None, 1), article("c", "FPT", 3), article("d", "VCB", 2)]
    news.handle([records(values, NEWS, 4, 60)])
    found = {trigger.symbol: trigger for trigger in triggers(outputs)}
    assert {symbol: trigger.metadata.sources for symbol, trigger in found.items()} == {
        "VCB": [OffsetRange(NEWS, 4, 60, 63)],
        "FPT": [OffsetRange(NEWS, 4, 61, 62)],
        "VNINDEX": [OffsetRange(NEWS, 4, 61, 61)],
    }
    assert found["VCB"].metadata.data_count == 2
    assert found["FPT"].timestamp == OPENING + dt.timedelta(minutes=3)
    assert found["VCB"].trigger_type == "news_update"


def test_news_behind_a_gap_goes_back_without_a_trigger(
    news: NewsHandler, pool: Any, outputs: Any, records: Any
) -> None:
    pool.expected = lambda batch: 3
    assert news.handle([records([article("a", "VCB")], NEWS, 0, 9)]) == {0: 3}
    assert triggers(outputs) == []


def test_what_is_sent_names_the_partition_that_caused_it(
    prices: PriceHandler, outputs: Any, records: Any
) -> None:
    prices.handle([records([bar("VCB"), b"{"], PRICES, 1, 5), records([bar("VCB", 1)], PRICES, 2, 8)])
    assert [(sent.cause, sent.topic) for sent in outputs.sent] == [
        (1, TRIGGERS),
        (1, f"{PRICES}_dlq"),
        (2, TRIGGERS),
    ]
