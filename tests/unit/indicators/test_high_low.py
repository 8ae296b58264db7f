from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vnpulse.indicators import high_low
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, TIME

Array = NDArray[np.float64]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MONDAY = 20_297
"""2025-07-28, days after 1970-01-01."""


def _trading_days(count: int, seed: int | None = None) -> Array:
    """Mondays to Fridays, with a seed without some holidays."""
    days = np.arange(MONDAY, MONDAY + 2 * count)
    days = days[(days - MONDAY) % 7 < 5]
    if seed is not None:
        days = days[np.random.default_rng(seed).random(len(days)) > 0.03]
    return days[:count].astype(np.float64)


def _on(bars: Array, days: Array) -> Array:
    """Spread the bars evenly over the days, each day's from 09:00 in Vietnam, minute by minute."""
    number = np.arange(bars.shape[1])
    of_day = bars.shape[1] // len(days)
    bars[TIME] = days[number // of_day] * DAY_MS + 2 * HOUR_MS + number % of_day * 60_000
    return bars


def _expected(bars: Array, weeks: int) -> Array:
    made = np.full((4, bars.shape[1]), np.nan)
    days = np.floor((bars[TIME] + 7 * HOUR_MS) / DAY_MS)
    for t in range(bars.shape[1]):
        if len(set(days[: t + 1])) < 5 * weeks:
            continue
        window = np.flatnonzero(days[: t + 1] > days[t] - 7 * weeks)
        high = bars[HIGH, window].max()
        low = bars[LOW, window].min()
        made[:, t] = high, low, bars[CLOSE, t] / high - 1, bars[CLOSE, t] / low - 1
    return made


@pytest.mark.parametrize("weeks", [1, 4, 52])
def test_daily_bars(walk: Any, compute: Any, weeks: int) -> None:
    bars = _on(walk(1, 800), _trading_days(800, seed=weeks))
    np.testing.assert_array_equal(compute(high_low, bars, weeks), _expected(bars, weeks))


@pytest.mark.parametrize("weeks", [1, 4])
def test_minute_bars(walk: Any, compute: Any, weeks: int) -> None:
    bars = _on(walk(2, 1500), _trading_days(50, seed=weeks))
    np.testing.assert_array_equal(compute(high_low, bars, weeks), _expected(bars, weeks))


@pytest.mark.parametrize("pause", [1, 6, 7, 8, 30])
def test_a_pause_of_any_length(walk: Any, compute: Any, pause: int) -> None:
    bars = _on(walk(3, 60), _trading_days(20))
    bars[TIME, 30:] += pause * DAY_MS
    np.testing.assert_array_equal(compute(high_low, bars, 1), _expected(bars, 1))


def test_a_series_that_only_falls_forgets_its_highs(flat: Any, compute: Any) -> None:
    days = _trading_days(300)
    bars = _on(flat(300), days)
    bars[HIGH] = bars[LOW] = bars[CLOSE] = 1000.0 - days + MONDAY
    high, low = compute(high_low, bars, 4)[:2, 20:]
    # The first of the 28 days to a Monday is a Tuesday; of those to a Friday it is a Saturday.
    assert set((high - low)[days[20:] % 7 == MONDAY % 7]) == {27.0}
    assert set((high - low)[days[20:] % 7 == (MONDAY + 4) % 7]) == {25.0}


def test_a_day_ends_at_midnight_in_vietnam(flat: Any, compute: Any) -> None:
    bars = flat(7, 10.0, step_ms=DAY_MS)
    bars[TIME] = MONDAY * DAY_MS - 7 * HOUR_MS + np.array([0, 1, 2, 3, 4, 7 - 1 / DAY_MS, 7]) * DAY_MS
    bars[HIGH, 0] = 12.0
    assert compute(high_low, bars, 1)[0, 4:].tolist() == [12.0, 12.0, 10.0]


def test_daily_bars_without_holidays_begin_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(high_low, _on(walk(4, 300), _trading_days(300)), 52)


def test_shorter_bars_begin_with_the_day(walk: Any, compute: Any) -> None:
    bars = _on(walk(5, 100), _trading_days(10))
    ours = compute(high_low, bars, 1)
    assert np.isnan(ours[:, :40]).all()
    assert not np.isnan(ours[:, 40:]).any()


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(high_low, _on(walk(6, 300), _trading_days(300)), 52)
    assert_cuts_do_not_matter(high_low, _on(walk(7, 200), _trading_days(40, seed=1)), 2)


def test_a_flat_series_is_at_both_ends(flat: Any, compute: Any) -> None:
    high, low, high_distance, low_distance = compute(high_low, _on(flat(30, 0.1), _trading_days(30)), 2)[
        :, 9:
    ]
    assert (high == 0.1).all()
    assert (low == 0.1).all()
    assert (high_distance == 0.0).all()
    assert (low_distance == 0.0).all()


def test_names() -> None:
    assert high_low.names(52) == ("high_52w", "low_52w", "high_52w_distance", "low_52w_distance")
