from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from vnpulse.indicators import bollinger


@pytest.mark.parametrize(("period", "deviations"), [(20, 2.0), (5, 2.5), (60, 1.0)])
@pytest.mark.parametrize("ring", [64, 97])
def test_equals_talib_across_the_ring_seam(
    walk: Any, windowed: Any, assert_same: Any, period: int, deviations: float, ring: int
) -> None:
    _, _, close = walk(8, 400, 0.1)
    expected = talib.BBANDS(close, period, deviations, deviations)
    # Where nothing moved in the window TA-Lib shows rounding noise of the order of 1e-7.
    ours = windowed(bollinger.value, close, ring, period, deviations)
    moving = ~(ours[:, 0] == ours[:, 2])
    assert moving.mean() > 0.9
    assert_same(ours[moving], *(band[moving] for band in expected))


def test_a_flat_series_has_no_width_at_all(windowed: Any) -> None:
    values = windowed(bollinger.value, np.full(40, 85.3), 64, 20, 2.0)
    first = bollinger.warm_up(20) - 1
    assert np.isnan(values[:first]).all()
    assert (values[first:] == 85.3).all()


def test_names() -> None:
    assert bollinger.names(20, 2.0) == ("bb_20_2_upper", "bb_20_2_middle", "bb_20_2_lower")
    assert bollinger.names(20, 2.5)[0] == "bb_20_2.5_upper"
