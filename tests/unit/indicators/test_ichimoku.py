from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib
from numpy.typing import NDArray

from vnpulse.indicators import ichimoku
from vnpulse.indicators.columns import HIGH, LOW


def _later(line: NDArray[np.float64], bars: int) -> NDArray[np.float64]:
    return np.concatenate((np.full(bars, np.nan), line[:-bars]))


@pytest.mark.parametrize("periods", [(9, 26, 52), (2, 3, 4), (20, 60, 120)])
def test_equals_talibs_midprice(
    walk: Any, compute: Any, assert_same: Any, periods: tuple[int, int, int]
) -> None:
    bars = walk(1, 400)
    tenkan, kijun, senkou = (talib.MIDPRICE(bars[HIGH], bars[LOW], period) for period in periods)
    span_a = _later((tenkan + kijun) / 2, periods[1])
    assert_same(compute(ichimoku, bars, *periods), tenkan, kijun, span_a, _later(senkou, periods[1]))


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(ichimoku, walk(2, 100), 9, 26, 52)


@pytest.mark.parametrize("periods", [(9, 26, 52), (2, 3, 4)])
def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any, periods: tuple[int, int, int]) -> None:
    assert_cuts_do_not_matter(ichimoku, walk(3, 150), *periods)


def test_a_flat_series_has_one_line(flat: Any, compute: Any) -> None:
    assert (compute(ichimoku, flat(100, 0.1), 9, 26, 52)[:, 77:] == 0.1).all()


def test_a_gap_reaches_the_spans_after_the_shift(flat: Any, compute: Any) -> None:
    bars = flat(140, 10.0)
    bars[:4, 100:] = 12.0
    tenkan, kijun, span_a, span_b = compute(ichimoku, bars, 9, 26, 52)
    assert tenkan[99:101].tolist() == kijun[99:101].tolist() == [10.0, 11.0]
    assert span_a[125:127].tolist() == span_b[125:127].tolist() == [10.0, 11.0]


@pytest.mark.parametrize("periods", [(26, 26, 52), (9, 52, 52)])
def test_periods_must_increase(periods: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"periods were \d+, \d+, 52, must increase"):
        ichimoku.warm_up(*periods)


def test_names() -> None:
    assert ichimoku.names(9, 26, 52) == (
        "ichimoku_9_26_52_tenkan",
        "ichimoku_9_26_52_kijun",
        "ichimoku_9_26_52_span_a",
        "ichimoku_9_26_52_span_b",
    )
