"""Bars that come again, late, changed or unfinished, from the raw topic to the result."""

from __future__ import annotations

import msgspec

from tests.integration.market import bar, keyed, minute, minute_ms
from tests.integration.pipelines.outcome import (
    as_stored,
    await_results,
    bar_time,
    distinct_ids,
    stored,
    technical,
)
from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.messages import AnalysisResult
from vnpulse.topics import PRICES


def judgement(result: AnalysisResult) -> dict[str, object]:
    """Return what a result says, without where its bar lay in the log."""
    return {"score": result.results.score, "confidence": result.results.confidence} | result.results.details


def test_a_replaced_bar_replaces_in_the_store_and_the_newer_result_reflects_it(running: Trial) -> None:
    first = [bar("RPL", i) for i in range(40)]
    running.publish(PRICES, keyed(first))
    await_results(running, first)
    corrected = bar("RPL", 39, close=60.0)
    following = bar("RPL", 40)
    running.publish(PRICES, keyed([corrected, following]))
    await_results(running, [corrected, following])
    assert stored(running, "RPL") == as_stored([*first, corrected, following])
    assert len(distinct_ids(running, "RPL")[minute(39)]) == 2
    # The same series for which the corrected values were the first to come.
    straight = [msgspec.structs.replace(b, symbol="RPS") for b in [*first[:39], corrected, following]]
    running.publish(PRICES, keyed(straight))
    await_results(running, straight)
    replaced, never_wrong = technical(running, "RPL"), technical(running, "RPS")
    for number in (39, 40):
        assert judgement(replaced[minute(number)]) == judgement(never_wrong[minute(number)])


def test_a_late_bar_is_put_in_its_place_and_the_next_results_are_as_if_it_had_come_in_time(
    running: Trial,
) -> None:
    on_time = [bar("LTA", i) for i in range(40) if i != 10]
    late = bar("LTA", 10, close=99.0)
    after = [bar("LTA", i) for i in range(40, 50)]
    running.publish(PRICES, keyed([*on_time, late, *after]))
    in_time = [msgspec.structs.replace(b, symbol="LTB") for b in [*on_time[:10], late, *on_time[10:], *after]]
    running.publish(PRICES, keyed(in_time))
    await_results(running, [*on_time, late, *after, *in_time])
    assert stored(running, "LTA") == as_stored([*on_time, late, *after])
    came_late, came_in_time = technical(running, "LTA"), technical(running, "LTB")
    same = [minute(i) for i in [*range(11), *range(40, 50)]]
    assert {t: judgement(came_late[t]) for t in same} == {t: judgement(came_in_time[t]) for t in same}


def test_a_duplicate_gives_no_further_result(running: Trial) -> None:
    bars = [bar("DUP", i) for i in range(5)]
    again = [bars[4], bars[4], bars[2], bars[0]]
    running.publish(PRICES, keyed([*bars, *again]))
    last = bar("DUP", 5)
    running.publish(PRICES, keyed([last]))
    await_results(running, [*bars, last])
    assert running.drained()
    results = running.results("DUP", "technical")
    assert [bar_time(result) for result in results] == [minute(i) for i in range(6)]
    assert len({result.result_id for result in results}) == 6
    assert stored(running, "DUP") == as_stored([*bars, last])


def test_an_unfinished_bar_is_stored_but_analysed_only_when_it_is_final(running: Trial) -> None:
    growing = [
        msgspec.structs.replace(bar("GRW", 0, close=50.0 + i), collected_at=minute(0)) for i in range(3)
    ]
    running.publish(PRICES, keyed(growing))
    assert eventually(lambda: stored(running, "GRW") == as_stored(growing))
    assert running.drained()
    assert running.results("GRW") == []
    running.publish(PRICES, keyed([bar("GRW", 1)]))
    await_results(running, [growing[-1], bar("GRW", 1)])
    assert len(running.results("GRW")) == 2


def test_each_result_names_the_record_that_it_is_about(running: Trial) -> None:
    bars = [bar("SRC", i) for i in range(20)]
    places = running.publish(PRICES, keyed(bars))
    await_results(running, bars)
    found = {
        bar_time(result): (result.metadata.source.partition, result.metadata.source.offset)
        for result in running.results("SRC", "technical")
        if result.metadata.source is not None
    }
    assert found == {b.time: place for b, place in zip(bars, places, strict=True)}


def test_daily_bars_are_stored_as_context_and_not_analysed(running: Trial) -> None:
    daily = [
        msgspec.structs.replace(
            bar("DLY", 0, close=50.0 + i), interval="1d", time=minute(0).replace(hour=0, month=6, day=1 + i)
        )
        for i in range(30)
    ]
    running.publish(PRICES, keyed(daily))
    first = bar("DLY", 0)
    running.publish(PRICES, keyed([first]))
    await_results(running, [first])
    assert stored(running, "DLY", "1d") == as_stored(daily)
    (result,) = running.results("DLY")
    assert result.results.details["daily"]["close"] == daily[-1].close
    assert stored(running, "DLY").keys() == {minute_ms(0)}
