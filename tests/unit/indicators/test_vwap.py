from __future__ import annotations

from typing import Any

import numpy as np

from vnpulse.indicators import vwap
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN, TIME, VOLUME

HOUR_MS = 3_600_000.0


def reference(bars: Any) -> Any:
    typical = (bars[HIGH] + bars[LOW] + bars[CLOSE]) / 3
    days = np.floor((bars[TIME] + 7 * HOUR_MS) / (24 * HOUR_MS))
    values = np.empty(bars.shape[1])
    for t in range(bars.shape[1]):
        day = (days == days[t]) & (np.arange(bars.shape[1]) <= t)
        volume = bars[VOLUME, day]
        values[t] = (typical[day] @ volume) / volume.sum() if volume.sum() else typical[t]
    return values


def test_equals_the_definition_over_several_days(walk: Any, compute: Any) -> None:
    bars = walk(7, 400, step_ms=900_000)
    bars[VOLUME, 55:70] = 0.0  # the last hours of a day and the first of the next
    average, distance = compute(vwap, bars)
    np.testing.assert_allclose(average, reference(bars), rtol=1e-12)
    np.testing.assert_allclose(distance, bars[CLOSE] / reference(bars) - 1, rtol=0, atol=1e-12)


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(vwap, walk(2, 60))


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(vwap, walk(3, 100, step_ms=900_000))


def test_a_day_begins_at_midnight_in_vietnam(flat: Any, compute: Any) -> None:
    bars = flat(4, 10.0)
    midnight = np.ceil(bars[TIME, 0] / (24 * HOUR_MS)) * 24 * HOUR_MS - 7 * HOUR_MS
    bars[TIME] = midnight + np.array([-2.0, -1.0, 0.0, 1.0])
    bars[OPEN : CLOSE + 1] = [10.0, 20.0, 40.0, 60.0]
    assert compute(vwap, bars)[0].tolist() == [10.0, 15.0, 40.0, 50.0]


def test_a_bar_of_daily_bars_is_its_own_day(walk: Any, compute: Any) -> None:
    bars = walk(7, 60, step_ms=86_400_000)
    typical = (bars[HIGH] + bars[LOW] + bars[CLOSE]) / 3
    np.testing.assert_allclose(compute(vwap, bars)[0], typical, rtol=1e-14)


def test_without_volume_so_far_it_is_the_typical_price_of_the_bar(flat: Any, compute: Any) -> None:
    bars = flat(4)
    bars[OPEN : CLOSE + 1] = [10.0, 12.0, 14.0, 20.0]
    bars[VOLUME] = [0.0, 0.0, 100.0, 100.0]
    assert compute(vwap, bars)[0].tolist() == [10.0, 12.0, 14.0, 17.0]


def test_a_day_at_one_price_is_at_no_distance(flat: Any, compute: Any) -> None:
    for volume in (0.0, 700.0):
        average, distance = compute(vwap, flat(30, 0.1, volume=volume))
        assert (average == 0.1).all()
        assert (distance == 0.0).all()


def test_names() -> None:
    assert vwap.names() == ("vwap", "vwap_distance")
