"""What came of bars that were published: in the store, and as results."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.integration.trial import Trial
from tests.integration.waiting import eventually
from vnpulse.messages import AnalysisResult, PriceBar
from vnpulse.store.bars import BarStore


def bar_time(result: AnalysisResult) -> dt.datetime:
    """Return the opening time of the bar that a technical result is about."""
    return dt.datetime.fromisoformat(result.results.details["bar_time"])


def technical(trial: Trial, symbol: str) -> dict[dt.datetime, AnalysisResult]:
    """Return the newest technical result of each bar."""
    return {bar_time(result): result for result in trial.results(symbol, "technical")}


def distinct_ids(trial: Trial, symbol: str) -> dict[dt.datetime, set[str]]:
    """Return, by bar, the ids of all its results."""
    ids: dict[dt.datetime, set[str]] = defaultdict(set)
    for result in trial.results(symbol, "technical"):
        ids[bar_time(result)].add(result.result_id)
    return dict(ids)


def await_results(trial: Trial, bars: Iterable[PriceBar]) -> None:
    """Return when the newest result of each of ``bars`` has its close; fail after the deadline."""
    wanted = list(bars)

    def missing() -> list[tuple[str, str]]:
        found = {symbol: technical(trial, symbol) for symbol in {bar.symbol for bar in wanted}}
        return [
            (bar.symbol, bar.time.isoformat())
            for bar in wanted
            if (result := found[bar.symbol].get(bar.time)) is None
            or result.results.details["close"] != bar.close
        ]

    assert eventually(lambda: not missing()), f"without a result: {missing()[:10]} of {len(wanted)}"


def stored(trial: Trial, symbol: str, interval: str = "1m") -> dict[int, tuple[float, ...]]:
    """Return (open, high, low, close, volume) by opening time (epoch ms). Fails if one is there twice."""
    rows = BarStore(trial.database()).between(symbol, interval, "2025-01-01", "2025-12-31")
    by_time = {row[0]: tuple(row[1:6]) for row in rows}
    assert len(by_time) == len(rows)
    return by_time


def as_stored(bars: Iterable[PriceBar]) -> dict[int, tuple[float, ...]]:
    """Return what ``stored`` should: the last of each time."""
    return {
        int(bar.time.timestamp() * 1000): (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars
    }


def assert_all_there_once(trial: Trial, sent: Sequence[PriceBar]) -> None:
    """Wait until all is worked off; every bar of these symbols is stored, and has results of one id."""
    await_results(trial, sent)
    assert trial.drained()
    for symbol in {b.symbol for b in sent}:
        mine = [b for b in sent if b.symbol == symbol]
        assert stored(trial, symbol) == as_stored(mine)
        ids = distinct_ids(trial, symbol)
        assert ids.keys() == {b.time for b in mine}
        assert {len(of_bar) for of_bar in ids.values()} == {1}
