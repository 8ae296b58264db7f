from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import supertrend
from vnpulse.indicators.columns import CLOSE, HIGH, LOW, OPEN


def reference(bars: Any, period: int, multiplier: float) -> tuple[list[float], list[float]]:
    """TradingView's definition as its manual has it, with 1 for up, over TA-Lib's ATR."""
    high, low, close = bars[HIGH], bars[LOW], bars[CLOSE]
    width = multiplier * talib.ATR(high, low, close, period)
    line: list[float] = []
    directions: list[float] = []
    upper_before = lower_before = math.nan
    for t in range(len(close)):
        if math.isnan(width[t]):
            line.append(math.nan)
            directions.append(math.nan)
            continue
        upper = (high[t] + low[t]) / 2 + width[t]
        lower = (high[t] + low[t]) / 2 - width[t]
        direction = -1.0
        if t > period:
            if not (lower > lower_before or close[t - 1] < lower_before):
                lower = lower_before
            if not (upper < upper_before or close[t - 1] > upper_before):
                upper = upper_before
            if line[-1] == upper_before:
                direction = 1.0 if close[t] > upper else -1.0
            else:
                direction = -1.0 if close[t] < lower else 1.0
        line.append(lower if direction > 0 else upper)
        directions.append(direction)
        upper_before, lower_before = upper, lower
    return line, directions


@pytest.mark.parametrize(("period", "multiplier"), [(10, 3.0), (2, 1.0), (14, 0.5), (100, 2.5)])
@pytest.mark.parametrize("seed", [1, 7])
def test_equals_the_definition(
    walk: Any, compute: Any, assert_same: Any, seed: int, period: int, multiplier: float
) -> None:
    bars = walk(seed, 600)
    expected, expected_direction = reference(bars, period, multiplier)
    line, direction = compute(supertrend, bars, period, multiplier)
    assert_same([line], expected)
    confirmed = np.flatnonzero(direction != 0.0)
    assert (direction[period : confirmed[period]] == 0.0).all()
    np.testing.assert_array_equal(direction[confirmed], np.asarray(expected_direction)[confirmed])
    assert set(direction[confirmed[period:]]) == {1.0, -1.0}


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(supertrend, walk(2, 60), 10, 3.0)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(supertrend, walk(3, 100), 10, 3.0)
    assert_cuts_do_not_matter(supertrend, walk(3, 100), 5, 0.5)


def test_a_flat_series_has_no_direction(flat: Any, compute: Any) -> None:
    line, direction = compute(supertrend, flat(40), 10, 3.0)[:, 10:]
    assert (line == 5.0).all()
    assert (direction == 0.0).all()


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_the_first_cross_of_a_band_confirms_a_direction(flat: Any, compute: Any, way: float) -> None:
    bars = flat(40, 10.0)
    bars[OPEN : CLOSE + 1, 30:] = 10.0 + way * np.arange(1.0, 11.0)
    direction = compute(supertrend, bars, 10, 0.5)[1]
    assert (direction[10:30] == 0.0).all()
    assert (direction[31:] == way).all()


def test_a_price_that_stops_moving_keeps_its_direction(flat: Any, compute: Any) -> None:
    bars = flat(1000, 10.0)
    bars[OPEN : CLOSE + 1, 30:60] = 10.0 + np.arange(1.0, 31.0)
    bars[OPEN : CLOSE + 1, 60:] = 40.0
    line, direction = compute(supertrend, bars, 10, 3.0)
    assert (direction[60:] == 1.0).all()
    assert line[-1] == 40.0


def test_the_line_of_an_upward_trend_never_falls(flat: Any, compute: Any) -> None:
    bars = flat(60, 10.0)
    bars[OPEN : CLOSE + 1] = 10.0 + np.arange(60)
    # A long bar widens the bands, and the line stays where it was.
    bars[HIGH, 40] += 20.0
    bars[LOW, 40] -= 20.0
    line, direction = compute(supertrend, bars, 10, 0.5)[:, 12:]
    assert (direction == 1.0).all()
    assert (np.diff(line) >= 0.0).all()
    assert line[28] == line[27]


def test_names() -> None:
    assert supertrend.names(10, 3.0) == ("supertrend_10_3", "supertrend_10_3_direction")
