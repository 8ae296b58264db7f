from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import bollinger
from vnpulse.indicators.columns import CLOSE


@pytest.mark.parametrize(("period", "deviations"), [(2, 1.0), (20, 2.0), (100, 2.5)])
def test_equals_talib(walk: Any, compute: Any, assert_same: Any, period: int, deviations: float) -> None:
    # Without flat stretches, on which TA-Lib's own bands carry rounding noise.
    bars = walk(1, 400, flat_share=0.0)
    expected = talib.BBANDS(bars[CLOSE], period, deviations, deviations)
    flat = np.isclose(expected[0], expected[2], rtol=0, atol=1e-6)
    ours = compute(bollinger, bars, period, deviations)[:3]
    assert_same(ours[:, ~flat], *(line[~flat] for line in expected))


def test_percent_b_and_bandwidth_follow_from_the_bands(walk: Any, compute: Any) -> None:
    bars = walk(4, 200)
    upper, middle, lower, percent_b, bandwidth = compute(bollinger, bars, 20, 2.0)
    np.testing.assert_allclose(percent_b, (bars[CLOSE] - lower) / (upper - lower), rtol=1e-12)
    np.testing.assert_allclose(bandwidth, (upper - lower) / middle, rtol=1e-12)


def test_begins_when_it_says(walk: Any, assert_begins: Any) -> None:
    assert_begins(bollinger, walk(2, 60), 20, 2.0)


def test_cuts_do_not_matter(walk: Any, assert_cuts_do_not_matter: Any) -> None:
    assert_cuts_do_not_matter(bollinger, walk(3, 100), 20, 2.0)


def test_a_flat_series_has_no_width_and_is_in_the_middle(flat: Any, compute: Any) -> None:
    upper, middle, lower, percent_b, bandwidth = compute(bollinger, flat(40, 0.1), 20, 2.0)[:, 19:]
    assert (upper == 0.1).all()
    assert (middle == 0.1).all()
    assert (lower == 0.1).all()
    assert (percent_b == 0.5).all()
    assert (bandwidth == 0.0).all()


def test_names() -> None:
    assert bollinger.names(20, 2.0) == (
        "bb_20_2_upper",
        "bb_20_2_middle",
        "bb_20_2_lower",
        "bb_20_2_percent_b",
        "bb_20_2_bandwidth",
    )
