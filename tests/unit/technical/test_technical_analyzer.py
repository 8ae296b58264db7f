from __future__ import annotations

import datetime as dt
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vnpulse.analysis import AnalysisRequest, Analyzer
from vnpulse.batches import BarBatch
from vnpulse.ids import derived_id
from vnpulse.market import load_market
from vnpulse.messages import AnalysisResult, OffsetRange, encode
from vnpulse.technical import analyzer as analyzer_module
from vnpulse.technical.analyzer import RESAMPLED_WARM_UP_BARS, RawPart, TechnicalAnalyzer
from vnpulse.technical.settings import TechnicalSettings

TOPIC = "stock_prices_raw"
SMALL = TechnicalSettings(history_bars=64)
COMPONENTS = ["trend", "momentum", "mean_reversion", "volatility", "volume"]


def _started(
    history: Any,
    batches: Any = (),
    stored: Any = None,
    config: Any = SMALL,
    exchange_of: Any = MappingProxyType({}),
) -> TechnicalAnalyzer:
    memory = history(list(batches), dict(stored or {}))
    analyzer = TechnicalAnalyzer(config, memory, TOPIC, load_market(), exchange_of)
    analyzer.start()
    return analyzer


def _ask(symbol: str, first: int, last: int, partition: int = 0, topic: str = TOPIC) -> AnalysisRequest:
    return AnalysisRequest(symbol, f"{symbol}-{first}-{last}", (OffsetRange(topic, partition, first, last),))


def _plain(results: list[AnalysisResult]) -> list[Any]:
    """Everything but the time it took."""
    plain = [msgspec.to_builtins(result) for result in results]
    for result in plain:
        del result["metadata"]["processing_time"]
    return plain


def _bar_times(results: list[AnalysisResult]) -> list[tuple[str, str]]:
    return [(r.symbol, r.results.details["bar_time"][11:16]) for r in results]


def _in_session_ms(minute: int) -> int:
    """Return the time of the ``minute``-th minute of trading, 225 a day, from 2025-07-28 09:15 on."""
    day, of_day = divmod(minute, 225)
    return 1_753_668_900_000 + day * 86_400_000 + (of_day + (90 if of_day >= 135 else 0)) * 60_000


def test_it_is_an_analyzer(history: Any) -> None:
    analyzer: Analyzer = _started(history)
    assert analyzer.analysis_type == "technical"
    assert analyzer.analyze([]) == []


def test_a_result_says_what_it_rests_on(history: Any, log: Any, walk: Any) -> None:
    analyzer = _started(history)
    bars = walk(1, 60, ["FPT"])
    batch = log(partition=3).batch(bars)
    analyzer.update(batch)
    last = len(bars) - 1
    (result,) = analyzer.analyze([_ask("FPT", last, last, partition=3)])
    opened = dt.datetime.fromtimestamp(batch.time_ms[-1] / 1000, dt.timezone(dt.timedelta(hours=7)))
    assert result.result_id == derived_id("technical", "FPT", "1m", TOPIC, 3, last)
    assert result.timestamp == opened + dt.timedelta(minutes=1)
    assert result.timestamp.utcoffset() == dt.timedelta(hours=7)
    source = result.metadata.source
    assert source is not None
    assert (source.topic, source.partition, source.offset) == (TOPIC, 3, last)
    assert source.timestamp == batch.append_ms[-1]
    assert result.metadata.model_version == f"technical/2-{SMALL.digest()}"
    details = result.results.details
    assert details["interval"] == "1m"
    assert details["bar_time"] == opened.isoformat()
    assert details["close"] == bars[-1].close
    assert details["final"] is True
    assert details["not_ready"] == []
    assert details["daily"] is None
    assert list(details["components"]) == COMPONENTS
    assert details["indicators"]["rsi_14"] is not None
    parts = details["components"].values()
    sure = sum(p["weight"] * p["confidence"] for p in parts)
    by_hand = details["liveliness"] * sum(p["weight"] * p["confidence"] * p["score"] for p in parts) / sure
    assert result.results.score == pytest.approx(by_hand)
    assert msgspec.json.decode(encode(result), type=AnalysisResult) == result


def test_not_ready_is_said_and_scores_nothing(history: Any, log: Any, walk: Any) -> None:
    analyzer = _started(history)
    analyzer.update(log().batch(walk(1, 5, ["FPT"])))
    result = analyzer.analyze([_ask("FPT", 0, 100)])[0]
    assert (result.results.score, result.results.confidence) == (0.0, 0.0)
    assert result.results.details["not_ready"] == COMPONENTS
    values = result.results.details["indicators"]
    assert {name for name, value in values.items() if value is not None} == {"vwap", "vwap_distance"}
    encode(result)


def test_a_gap_is_answered_with_the_expected_offset_and_not_applied(
    history: Any, log: Any, walk: Any
) -> None:
    analyzer = _started(history, stored={0: 10})
    stream = log(next_offset=10)
    first, second, third = (stream.batch(walk(seed, 5), hole=seed) for seed in (1, 2, 3))
    assert analyzer.update(second) == 10
    assert analyzer.update(first) == second.start_offset
    assert analyzer.update(third) == second.start_offset
    assert analyzer.update(second) == third.start_offset
    assert analyzer.update(third) == third.next_offset
    assert analyzer.counters()["batches_after_gap"] == 2


def _who_knows_a_third(history: Any, log: Any, walk: Any) -> tuple[Any, ...]:
    """Return three batches, an analyzer of all, and a store and an analyzer that have the first."""
    stream, bars = log(), walk(1, 60)
    known, missed, later = (stream.batch(bars[at : at + 50]) for at in (0, 50, 100))
    whole = _started(history)
    for batch in (known, missed, later):
        whole.update(batch)
    shelf = history([known], stored={0: known.next_offset})
    analyzer = TechnicalAnalyzer(SMALL, shelf, TOPIC, load_market(), {})
    analyzer.start()
    return known, missed, later, whole, shelf, analyzer


def test_who_has_missed_very_much_takes_what_comes_and_loads_the_rest_when_it_is_asked_for(
    history: Any, log: Any, walk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyzer_module, "LONGEST_REPLAY", 49)
    known, missed, later, whole, shelf, analyzer = _who_knows_a_third(history, log, walk)
    shelf.batches, shelf.stored = [known, missed, later], {0: later.next_offset}
    assert analyzer.update(later) == later.next_offset
    assert analyzer.waiting() == 3
    for symbol in ("FPT", "HPG", "VCB"):
        everything = [_ask(symbol, 0, later.next_offset - 1)]
        assert _plain(analyzer.analyze(everything)) == _plain(whole.analyze(everything))
    assert analyzer.waiting() == 0


def test_what_was_stored_and_not_handed_over_is_loaded_when_it_is_asked_for(
    history: Any, log: Any, walk: Any
) -> None:
    known, missed, later, whole, shelf, analyzer = _who_knows_a_third(history, log, walk)
    assert analyzer.analyze([_ask("FPT", missed.start_offset, missed.next_offset - 1)]) == []
    assert analyzer.counters()["requests_ahead"] == 1
    shelf.batches, shelf.stored = [known, missed], {0: missed.next_offset}
    asked = [_ask("FPT", missed.start_offset, missed.next_offset - 1)]
    assert _plain(analyzer.analyze(asked)) == _plain(whole.analyze(asked))
    assert analyzer.counters()["symbols_caught_up"] == 1
    # What it lacks of the others it still wants, and what comes again changes nothing.
    assert analyzer.update(later) == missed.start_offset
    assert analyzer.update(missed) == later.start_offset
    analyzer.update(later)
    everything = [_ask(symbol, 0, later.next_offset - 1) for symbol in ("FPT", "HPG", "VCB")]
    assert _plain(analyzer.analyze(everything)) == _plain(whole.analyze(everything))


def test_what_is_asked_for_is_loaded_first_and_the_rest_in_its_turn(
    history: Any, log: Any, walk: Any
) -> None:
    stream = log()
    bars = walk(1, 60)
    stored, later = (stream.batch(bars[at : at + 80]) for at in (0, 80))
    whole = _started(history, [stored], stored={0: stored.next_offset})
    analyzer = TechnicalAnalyzer(SMALL, history([stored], {0: stored.next_offset}), TOPIC, load_market(), {})
    analyzer.begin()
    assert (analyzer.waiting(), analyzer.symbols()) == (3, 0)
    asked = [_ask("HPG", 0, stored.next_offset - 1)]
    assert _plain(analyzer.analyze(asked)) == _plain(whole.analyze(asked))
    assert (analyzer.waiting(), analyzer.symbols()) == (2, 1)
    # What comes meanwhile of symbols that wait is in the store by the time that they are loaded.
    analyzer._history.batches.append(later)  # type: ignore[attr-defined]
    assert analyzer.update(later) == whole.update(later) == later.next_offset
    assert analyzer.load_more(1)
    assert analyzer.load_more(5)
    assert not analyzer.load_more()
    everything = [_ask(symbol, 0, later.next_offset - 1) for symbol in ("FPT", "HPG", "VCB")]
    assert _plain(analyzer.analyze(everything)) == _plain(whole.analyze(everything))


def test_a_part_of_the_market_is_loaded_and_more_can_be_taken_over(history: Any, log: Any, walk: Any) -> None:
    mine, other = log(0), log(1)
    batches = [mine.batch(walk(1, 60, ["FPT"])), other.batch(walk(2, 60, ["HPG"]))]
    shelf = history(batches, {0: mine.next_offset, 1: other.next_offset})
    analyzer = TechnicalAnalyzer(SMALL, shelf, TOPIC, load_market(), {})
    analyzer.begin(RawPart(frozenset({0}), lambda symbol: symbol == "FPT"))
    while analyzer.load_more():
        pass
    assert analyzer.symbols() == 1
    analyzer.take_over(RawPart(frozenset({1}), lambda symbol: symbol == "HPG"))
    more = other.batch(walk(2, 80, ["HPG"])[-5:])
    whole = _started(history, batches, stored=shelf.stored)
    assert analyzer.update(more) == whole.update(more) == more.next_offset
    asked = [_ask("HPG", 0, more.next_offset - 1, partition=1)]
    assert _plain(analyzer.analyze(asked)) == _plain(whole.analyze(asked))


def test_a_partition_never_seen_begins_where_its_first_batch_does(history: Any, log: Any, bar: Any) -> None:
    analyzer = _started(history, stored={0: 10})
    assert analyzer.update(log(partition=7, next_offset=500).batch([bar("FPT", 0, 20.0)])) == 501


def test_a_batch_seen_before_changes_nothing(history: Any, log: Any, walk: Any) -> None:
    analyzer = _started(history)
    stream = log()
    batches = [stream.batch(walk(seed, 30)) for seed in (1, 2)]
    for batch in batches:
        analyzer.update(batch)
    before = analyzer.counters()
    for batch in batches:
        assert analyzer.update(batch) == stream.next_offset
    assert analyzer.counters() == before


def test_only_the_unseen_rows_of_an_overlapping_batch_are_applied(history: Any, log: Any, bar: Any) -> None:
    analyzer = _started(history, stored={0: 2})
    batch = log().batch([bar("FPT", minute, 20.0 + minute) for minute in range(4)])
    assert analyzer.update(batch) == 4
    assert analyzer.counters()["bars_new"] == 2
    assert _bar_times(analyzer.analyze([_ask("FPT", 0, 9)])) == [("FPT", "09:02"), ("FPT", "09:03")]


def test_another_topic_is_refused(history: Any, log: Any, bar: Any) -> None:
    with pytest.raises(ValueError, match="topic was 'other'"):
        _started(history).update(log(topic="other").batch([bar("FPT", 0, 20.0)]))


def test_the_record_that_supersedes_an_open_bar_asks_for_both(history: Any, log: Any, bar: Any) -> None:
    analyzer = _started(history)
    stream = log()
    analyzer.update(stream.batch([bar("FPT", 0, 20.0, closed=False)]))
    assert analyzer.analyze([_ask("FPT", 0, 0)]) == []
    analyzer.update(stream.batch([bar("FPT", 1, 20.1, closed=True)]))
    results = analyzer.analyze([_ask("FPT", 1, 1)])
    assert _bar_times(results) == [("FPT", "09:00"), ("FPT", "09:01")]
    assert [r.metadata.source.offset for r in results if r.metadata.source] == [0, 1]


def test_a_correction_is_analysed_again_under_a_new_id(history: Any, log: Any, bar: Any) -> None:
    analyzer = _started(history)
    stream = log()
    analyzer.update(stream.batch([bar("FPT", 0, 20.0)]))
    (before,) = analyzer.analyze([_ask("FPT", 0, 0)])
    analyzer.update(stream.batch([bar("FPT", 0, 21.0)]))
    (after,) = analyzer.analyze([_ask("FPT", 0, 1)])
    assert before.result_id != after.result_id
    assert (before.results.details["close"], after.results.details["close"]) == (20.0, 21.0)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    overlap=st.integers(0, 5),
)
def test_results_do_not_depend_on_how_requests_were_coalesced(
    history: Any, log: Any, walk: Any, seed: int, cuts: list[int], overlap: int
) -> None:
    analyzer = _started(history)
    bars = [b._replace(closed=b.minute % 3 != 0) for b in walk(seed, 50)]
    analyzer.update(log().batch(bars))
    symbols = ["FPT", "HPG", "VCB"]
    whole = analyzer.analyze([_ask(symbol, 0, len(bars)) for symbol in symbols])
    assert _bar_times(whole) == sorted(_bar_times(whole))
    ranges = []
    begin = turn = 0
    while begin < len(bars):
        ranges.append((max(begin - overlap, 0), begin + cuts[turn % len(cuts)] - 1))
        begin, turn = begin + cuts[turn % len(cuts)], turn + 1
    alone = {r.result_id: r for a, b in ranges for s in symbols for r in analyzer.analyze([_ask(s, a, b)])}
    assert sorted(map(str, _plain(list(alone.values())))) == sorted(map(str, _plain(whole)))
    together = [
        AnalysisRequest(s, "all", tuple(OffsetRange(TOPIC, 0, a, b) for a, b in ranges))
        for s in reversed(symbols)
    ]
    assert _plain(analyzer.analyze(together)) == _plain(whole)


def test_a_restart_from_the_store_gives_the_same_results(history: Any, log: Any, walk: Any) -> None:
    stream = log()
    bars = [b._replace(time_ms=_in_session_ms(b.minute)) for b in walk(4, 3_000)]
    batches = [stream.batch(bars[i : i + 100]) for i in range(0, 8_000, 100)]
    running = _started(history)
    for batch in batches:
        running.update(batch)
    # The store holds all but the last two batches and forgets what is older than the warm-up.
    stored = batches[:-2]
    restarted = _started(history, stored[-24:], {0: stored[-1].next_offset})
    assert restarted.update(batches[-1]) == batches[-2].start_offset
    for batch in batches[-3:]:
        restarted.update(batch)
    requests = [_ask(s, batches[-3].start_offset, stream.next_offset - 1) for s in ("FPT", "HPG", "VCB")]
    expected, got = running.analyze(requests), restarted.analyze(requests)
    assert [r.result_id for r in got] == [r.result_id for r in expected]
    assert len(got) == 3 * 64
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.results.score == pytest.approx(theirs.results.score, abs=1e-6)
        assert ours.results.details["indicators"] == pytest.approx(
            theirs.results.details["indicators"], rel=1e-6
        )


def test_bars_that_never_were_in_kafka_warm_up_but_are_not_asked_for(
    history: Any, log: Any, walk: Any, bar: Any
) -> None:
    files = log(partition=-1, topic="").batch(walk(5, 60, ["FPT"]))
    analyzer = _started(history, [files])
    assert analyzer.counters()["bars_warm_up"] == len(files)
    assert analyzer.counters()["bars_new"] == 0
    (latest,) = analyzer.analyze([AnalysisRequest("FPT", "now")])
    assert latest.metadata.source is None
    analyzer.update(log(next_offset=9).batch([bar("FPT", 60, 25.0)]))
    (result,) = analyzer.analyze([_ask("FPT", 0, 100)])
    assert result.results.details["not_ready"] == []


def test_without_sources_the_latest_bar_answers_even_if_it_still_forms(
    history: Any, log: Any, bar: Any
) -> None:
    analyzer = _started(history)
    analyzer.update(log().batch([bar("FPT", 0, 20.0), bar("FPT", 1, 20.2, closed=False)]))
    (one,) = analyzer.analyze([AnalysisRequest("FPT", "t-1")])
    (again,) = analyzer.analyze([AnalysisRequest("FPT", "t-1")])
    (other,) = analyzer.analyze([AnalysisRequest("FPT", "t-2")])
    assert one.results.details["final"] is False
    assert _bar_times([one]) == [("FPT", "09:01")]
    assert one.result_id == again.result_id == derived_id("technical", "FPT", "1m", "t-1")
    assert other.result_id != one.result_id


def test_what_cannot_be_answered_is_counted(history: Any, log: Any, walk: Any) -> None:
    analyzer = _started(history)
    bars = walk(6, 200, ["FPT"])
    analyzer.update(log().batch(bars))
    assert analyzer.analyze([_ask("FPT", 0, 20)]) == []
    assert analyzer.counters()["requests_beyond_history"] == 1
    assert analyzer.analyze([AnalysisRequest("XYZ", "t")]) == []
    assert analyzer.counters()["requests_unknown_symbol"] == 1
    assert analyzer.analyze([_ask("FPT", len(bars), len(bars) + 5)]) == []
    assert analyzer.counters()["requests_ahead"] == 1
    assert analyzer.analyze([_ask("FPT", 0, len(bars), topic="stock_news_raw")]) == []
    assert analyzer.symbols() == 1


def test_every_analysed_interval_answers_in_order_of_time(history: Any, log: Any, bar: Any) -> None:
    analyzer = _started(history, config=TechnicalSettings(history_bars=64, intervals=("1m", "1h")))
    batch = [
        bar("HPG", 60, 30.0),
        bar("FPT", 60, 20.0),
        bar("FPT", 0, 20.0, interval="1h"),
        bar("FPT", 61, 20.0),
    ]
    analyzer.update(log().batch(batch))
    results = analyzer.analyze([_ask("HPG", 0, 9), _ask("FPT", 0, 9)])
    assert [(r.symbol, r.results.details["interval"]) for r in results] == [
        ("FPT", "1h"),
        ("FPT", "1m"),
        ("FPT", "1m"),
        ("HPG", "1m"),
    ]
    assert results[0].timestamp - results[1].timestamp == dt.timedelta(minutes=-1)


def test_the_daily_context_is_of_the_day_before(history: Any, log: Any, bar: Any) -> None:
    midnight = dt.datetime(2025, 7, 28, tzinfo=dt.timezone(dt.timedelta(hours=7)))
    day_ms = 86_400_000
    start = int(midnight.timestamp() * 1000)
    days = [
        bar("FPT", 0, 20.0 + back, interval="1d", spread=0.5, time_ms=start - back * day_ms)
        for back in range(20, -1, -1)
    ]
    warm: list[BarBatch] = [log(partition=-1, topic="").batch(days)]
    analyzer = _started(history, warm)
    analyzer.update(log().batch([bar("FPT", 0, 20.0), bar("HPG", 0, 30.0)]))
    fpt, hpg = analyzer.analyze([_ask("FPT", 0, 9), _ask("HPG", 0, 9)])
    daily = fpt.results.details["daily"]
    assert daily["time"] == "2025-07-27T00:00:00+07:00"
    assert daily["close"] == 21.0
    assert daily["atr_14"] == pytest.approx(1.5)
    assert hpg.results.details["daily"] is None


def test_start_again_forgets_and_reloads(history: Any, log: Any, walk: Any) -> None:
    analyzer = _started(history, stored={0: 0})
    first = log().batch(walk(8, 30))
    analyzer.update(first)
    analyzer.start()
    assert analyzer.symbols() == 0
    assert analyzer.update(first) == first.next_offset
    assert analyzer.symbols() == 3


def test_a_symbol_locked_at_its_ceiling_is_not_overbought(history: Any, log: Any, bar: Any) -> None:
    day_ms = 86_400_000
    first_ms = _in_session_ms(0)
    yesterday = [
        bar(symbol, 0, 20.0 + 0.01 * (m % 3), time_ms=first_ms + m * 60_000, spread=0.0)
        for m in range(60)
        for symbol in ("FPT", "SHS", "XYZ")
    ]
    # 20.0 + 7 %: floor(21.4 / 0.05) ticks on HOSE; UPCoM counts 15 % from the average price.
    today = [
        bar(symbol, 0, price, time_ms=first_ms + day_ms + m * 60_000, spread=0.0)
        for m in range(30)
        for symbol, price in (("FPT", 20.0 + 1.4 * (m + 1) / 30), ("SHS", 20.0 + m / 10), ("XYZ", 21.0))
    ]
    analyzer = _started(history, exchange_of={"FPT": "HOSE", "SHS": "UPCoM"})
    stream = log()
    analyzer.update(stream.batch(yesterday))
    last = len(yesterday) + len(today)
    analyzer.update(stream.batch(today))
    fpt, shs, xyz = analyzer.analyze([_ask(s, last - 3, last) for s in ("FPT", "SHS", "XYZ")])
    limit = fpt.results.details["price_limit"]
    assert limit == {"reference": 20.0, "floor": 18.6, "ceiling": 21.4, "locked": "ceiling"}
    assert fpt.results.details["indicators"]["rsi_14"] > 90
    assert fpt.results.details["components"]["mean_reversion"]["confidence"] == 0.0
    assert shs.results.details["price_limit"]["ceiling"] == 23.0
    assert shs.results.details["price_limit"]["locked"] is None
    assert shs.results.details["components"]["mean_reversion"]["score"] < 0.0
    assert xyz.results.details["price_limit"] is None


def test_longer_intervals_are_warmed_up_from_the_bars_they_are_made_of(
    history: Any, log: Any, bar: Any
) -> None:
    asked: list[tuple[list[str], int]] = []

    class Asked(history):  # type: ignore[misc]
        def latest_bars(self, intervals: Any, count: int, wanted: Any = None) -> Any:
            asked.append((list(intervals), count))
            return super().latest_bars(intervals, count)

    config = TechnicalSettings(history_bars=64, intervals=("1m", "1h"), resample=("1h",))
    analyzer = _started(Asked, [log(partition=-1).batch([bar("FPT", 0, 20.0)])], config=config)
    assert [intervals for intervals, _ in asked] == [["1d"], ["1m"]]
    assert asked[1][1] == 60 * RESAMPLED_WARM_UP_BARS > asked[0][1]
    stream = log()
    analyzer.update(
        stream.batch([bar("FPT", minute, 20.0, time_ms=_in_session_ms(minute)) for minute in (0, 46)])
    )
    assert _bar_times(analyzer.analyze([_ask("FPT", 1, 1)])) == [("FPT", "09:00"), ("FPT", "10:01")]


def test_a_bar_of_the_opening_auction_has_a_result_without_a_score(history: Any, log: Any, bar: Any) -> None:
    analyzer = _started(history, exchange_of={"FPT": "HOSE"})
    stream = log(partition=2)
    first = [bar("FPT", 0, 20.0), bar("FPT", 14, 30.0), bar("FPT", 15, 20.1), bar("HPG", 0, 30.0)]
    analyzer.update(stream.batch(first))
    request = _ask("FPT", 0, 9, partition=2)
    results = analyzer.analyze([request, request, _ask("HPG", 0, 9, partition=2)])
    assert _bar_times(results) == [("FPT", "09:00"), ("FPT", "09:14"), ("FPT", "09:15"), ("HPG", "09:00")]
    assert [r.results.details.get("phase") for r in results] == ["ato", "ato", None, None]
    assert results[1].result_id == derived_id("technical", "FPT", "1m", TOPIC, 2, 1)
    assert results[1].results.score == results[1].results.confidence == 0.0
    assert results[2].results.details["indicators"]["vwap"] == pytest.approx(20.1)
    assert analyzer.counters()["bars_auction"] == 2
    analyzer.update(stream.batch([bar("FPT", 14, 31.0)]))
    (corrected,) = analyzer.analyze([_ask("FPT", 4, 9, partition=2)])
    assert corrected.results.details["close"] == 31.0
    for result in results:
        encode(result)
