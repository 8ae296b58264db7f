from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import parabolic_sar
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(("acceleration", "maximum"), [(0.02, 0.2), (0.001, 1.0), (0.2, 0.2), (0.5, 0.7)])
def test_equals_talib(
    walk: Any, compute: Any, assert_same: Any, seed: int, acceleration: float, maximum: float
) -> None:
    bars = walk(seed, 400)
    ours = compute(parabolic_sar, bars, acceleration, maximum)
    assert_same(ours, talib.SAR(bars[HIGH], bars[LOW], acceleration, maximum))


@pytest.mark.parametrize(
    ("high", "low"),
    [(11, 9), (11, 8), (9.5, 7.5), (10, 8), (11.5, 8.5), (10, 9), (9.7, 9.3), (12, 10.5), (8, 7)],
)
def test_begins_as_talib_does(walk: Any, compute: Any, assert_same: Any, high: float, low: float) -> None:
    bars = walk(4, 30)
    bars[HIGH, :2] = 10.0, high
    bars[LOW, :2] = 9.0, low
    assert_same(compute(parabolic_sar, bars, 0.02, 0.2), talib.SAR(bars[HIGH], bars[LOW], 0.02, 0.2))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(parabolic_sar, walk(2, 60), 0.02, 0.2)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(parabolic_sar, walk(3, 100), 0.02, 0.2)


def test_stays_below_a_series_that_only_rises_and_follows_it(flat: Any, compute: Any) -> None:
    bars = flat(60)
    bars[OPEN : CLOSE + 1] = 5.0 + np.arange(60)
    stops = compute(parabolic_sar, bars, 0.02, 0.2)[0, 1:]
    assert (np.diff(stops) > 0.0).all()
    assert (stops < bars[LOW, 1:]).all()
    assert stops[-1] > bars[LOW, -7]


def test_a_gap_through_the_stop_turns_the_trend(flat: Any, compute: Any) -> None:
    bars = flat(20)
    bars[OPEN : CLOSE + 1] = 5.0 + np.arange(20)
    bars[OPEN : CLOSE + 1, 15:] = 1.0
    stops = compute(parabolic_sar, bars, 0.02, 0.2)[0]
    assert stops[14] < bars[LOW, 14]
    assert stops[15] == bars[HIGH, 14]


def test_the_stop_of_a_flat_series_is_its_price(flat: Any, compute: Any) -> None:
    assert (compute(parabolic_sar, flat(30, 0.1), 0.02, 0.2)[0, 1:] == 0.1).all()


def test_acceleration_must_not_be_above_maximum() -> None:
    with pytest.raises(ValueError, match=r"acceleration was 0.3, must not be above maximum \(0.2\)"):
        parabolic_sar.warm_up(0.3, 0.2)


def test_name() -> None:
    assert parabolic_sar.names(0.02, 0.2) == ("sar_0.02_0.2",)
